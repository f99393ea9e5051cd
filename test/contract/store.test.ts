// Runs the contract against each store: the file store, Secrets Manager as AWS answers, and as
// emulators answer.

import { describeStoreContract } from '../harness/store-contract.ts';
import { openFileWorld, openModelWorld, openSecretsManagerWorld } from '../harness/store-worlds.ts';

describeStoreContract('file store', openFileWorld);
describeStoreContract('Secrets Manager', openSecretsManagerWorld);
describeStoreContract('the store of the simulation', openModelWorld);
describeStoreContract('an emulator of Secrets Manager', () =>
  openSecretsManagerWorld({}, { quirks: { notFoundStatus: 404, staleUnqualified: true } }),
);
