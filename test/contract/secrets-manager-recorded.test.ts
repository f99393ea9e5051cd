// Replays, against the simulator and through the real SDK, the calls behind 55 answers of the real
// service, and compares complete answers. The answers are LocalStack's
// (github.com/localstack/localstack, Apache-2.0, archived;
// tests/aws/services/secretsmanager/test_secretsmanager.snapshot.json, recorded 2022-08 to
// 2026-02), unchanged but for white space. The calls are guessed from test names and answers; where
// a guess matters, the script says so.

import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import * as sdk from '@aws-sdk/client-secrets-manager';
import {
  openSecretsManagerSimulator,
  type RotationFunction,
  type SecretsManagerSimulator,
} from '../fakes/secrets-manager.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Recorded = { [answer: string]: Json };

const file = new URL('./secrets-manager-recorded-answers.json', import.meta.url);
const recordings = Object.entries(
  JSON.parse(readFileSync(file, 'utf8')) as Record<string, { 'recorded-content': Recorded }>,
).map(([name, { 'recorded-content': content }]) => ({ name: name.replace(/^.*::/, ''), content }));

const lambdaArn = 'arn:aws:lambda:us-east-1:111111111111:function:rotate';

/**
 * What a script has: the service, a name for its secret, and a book in which it enters each answer
 * under its recorded name.
 */
type World = {
  readonly name: string;
  readonly parameter: string;
  readonly simulator: SecretsManagerSimulator;
  send(action: string, input: object): Promise<Json>;
  enter(answer: string, action: string, input: object): Promise<Json>;
  enterRaw(answer: string, value: Json): void;
  post(action: string, input: object): Promise<{ status: number; body: Json }>;
};

type Script = (world: World) => Promise<void>;

const of = (value: Json, ...path: string[]): string =>
  String(path.reduce<Json>((at, key) => (at as { [key: string]: Json })[key] ?? null, value));
const v = (value: Json): string => of(value, 'VersionId');

const scripts: Record<string, Script> = {
  async test_can_recreate_delete_secret({ name, enter }) {
    await enter('create_secret_res_0', 'CreateSecret', { Name: name, SecretString: 'x' });
    await enter('delete_res_1', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
    await enter('create_secret_res_1', 'CreateSecret', { Name: name, SecretString: 'x' });
  },
  async test_exp_raised_on_creation_of_secret_scheduled_for_deletion({ name, send, enter }) {
    await send('CreateSecret', { Name: name, SecretString: 'x' });
    await enter('delete_res', 'DeleteSecret', { SecretId: name, RecoveryWindowInDays: 7 });
    await enter('invalid_req_ex', 'CreateSecret', { Name: name, SecretString: 'x' });
  },
  async test_create_and_update_secret({ name, enter }) {
    const isAmbiguous = name.startsWith('Invalid');
    const created = await enter('create_secret_rs_1', 'CreateSecret', {
      Name: name,
      SecretString: 'my_secret',
      Description: 'Testing secret creation.',
    });
    await enter('get_secret_value_rs_1', 'GetSecretValue', { SecretId: name });
    await enter('describe_secret_rs_1', 'DescribeSecret', { SecretId: name });
    const arn = of(created, 'ARN');
    await enter('get_secret_value_rs_2', 'GetSecretValue', { SecretId: arn });
    // A partial ARN, without the hyphen and the six characters.
    await enter(
      isAmbiguous ? 'resource_not_found_dict_1' : 'get_secret_value_rs_3',
      'GetSecretValue',
      { SecretId: arn.slice(0, -7) },
    );
    await enter('put_secret_value_rs_1', 'PutSecretValue', {
      SecretId: name,
      SecretString: 'new_secret',
    });
    await enter('get_secret_value_rs_4', 'GetSecretValue', { SecretId: name });
    await enter('update_secret_res_1', 'UpdateSecret', {
      SecretId: name,
      SecretString: 'newer_secret',
      Description: 'd1',
    });
    await enter('delete_secret_res_1', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_call_lists_secrets_multiple_times({ name, enter }) {
    await enter('create_secret_rs_1', 'CreateSecret', {
      Name: name,
      SecretString: 'x',
      Description: 'testing creation of secrets',
    });
    for (const list of [0, 1, 2]) await enter(`list_secrets_res_${list}`, 'ListSecrets', {});
    await enter('delete_secret_res_1', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_create_multi_secrets({ send, enter }) {
    const names = ['secret-0', 'secret-1', 'secret-2'];
    for (const Name of names)
      await send('CreateSecret', {
        Name,
        SecretString: 'x',
        Description: 'Testing secrets creation.',
      });
    await enter('list_secrets_res', 'ListSecrets', {});
    for (const [index, SecretId] of names.entries())
      await enter(`delete_secret_res${index}`, 'DeleteSecret', { SecretId });
  },
  async test_put_secret_value_with_version_stages({ name, enter }) {
    const stages = [
      undefined,
      ['SAMPLESTAGE1', 'SAMPLESTAGE0'],
      ['SAMPLESTAGE1', 'SAMPLESTAGE0'],
      ['AWSPENDING'],
      undefined,
    ];
    for (const [index, VersionStages] of stages.entries()) {
      const SecretString = `secret_string_v${index}`;
      if (index === 0)
        await enter('create_secret_rs_0', 'CreateSecret', { Name: name, SecretString });
      else
        await enter(`put_secret_value_res_${index}`, 'PutSecretValue', {
          SecretId: name,
          SecretString,
          ...(VersionStages ? { VersionStages } : {}),
        });
      await enter(`get_secret_value_res_${index}`, 'GetSecretValue', { SecretId: name });
    }
    await enter('delete_secret_res_1', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_invalid_secret_name({ parameter, enter }) {
    const calls: [string, object][] = [
      ['CreateSecret', { Name: parameter, SecretString: 'x' }],
      ['DeleteSecret', { SecretId: parameter, ForceDeleteWithoutRecovery: true }],
      ['DescribeSecret', { SecretId: parameter }],
      ['GetSecretValue', { SecretId: parameter }],
      ['ListSecretVersionIds', { SecretId: parameter, IncludeDeprecated: true }],
      ['PutSecretValue', { SecretId: parameter, SecretString: 'x' }],
      ['TagResource', { SecretId: parameter, Tags: [{ Key: 'a', Value: 'b' }] }],
      ['UntagResource', { SecretId: parameter, TagKeys: ['a'] }],
      ['UpdateSecret', { SecretId: parameter, Description: 'x' }],
      ['ValidateResourcePolicy', { SecretId: parameter, ResourcePolicy: '{}' }],
    ];
    for (const [index, [action, input]] of calls.entries())
      await enter(`ex_log_${index + 1}`, action, input);
  },
  async test_update_secret_description({ name, enter }) {
    await enter('create_secret_rs_0', 'CreateSecret', { Name: name, SecretString: 'x' });
    await enter('describe_secret_res_0', 'DescribeSecret', { SecretId: name });
    const changes = [
      { Description: 'MyDescription' },
      { SecretString: 'y', Description: 'MyNewDescription' },
      { SecretString: 'z' },
      {},
    ];
    for (const [index, change] of changes.entries()) {
      await enter(`update_secret_res_${index}`, 'UpdateSecret', { SecretId: name, ...change });
      await enter(`describe_secret_res_${index + 1}`, 'DescribeSecret', { SecretId: name });
    }
    await enter('delete_secret_res_0', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_update_secret_version_stages_return_type({ name, enter }) {
    const first = v(
      await enter('create_secret_rs_0', 'CreateSecret', { Name: name, SecretString: 'S0' }),
    );
    const second = v(
      await enter('put_secret_value_res_0', 'PutSecretValue', {
        SecretId: name,
        SecretString: 'S1',
        VersionStages: ['AWSPENDING'],
      }),
    );
    await enter(
      'update_secret_version_stage_res_0',
      'UpdateSecretVersionStage',
      current(name, first, second),
    );
    await enter('delete_secret_res_0', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_update_secret_version_stages_current_previous({ name, enter }) {
    await enter('create_secret_rs_0', 'CreateSecret', { Name: name, SecretString: 'S0' });
    await enter('list_secret_version_ids_res_0', 'ListSecretVersionIds', { SecretId: name });
    await enter('update_secret_res_0', 'UpdateSecret', { SecretId: name, SecretString: 'S1' });
    await enter('list_secret_version_ids_res_1', 'ListSecretVersionIds', { SecretId: name });
    await enter('delete_secret_res_0', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_update_secret_version_stages_current_pending({ name, enter }) {
    const first = v(
      await enter('create_secret_rs_0', 'CreateSecret', { Name: name, SecretString: 'S0' }),
    );
    const second = v(
      await enter('put_secret_value_res_0', 'PutSecretValue', {
        SecretId: name,
        SecretString: 'S1',
        VersionStages: ['AWSPENDING'],
      }),
    );
    await enter('list_secret_version_ids_res_0', 'ListSecretVersionIds', { SecretId: name });
    await enter(
      'update_secret_version_stage_res_0',
      'UpdateSecretVersionStage',
      current(name, first, second),
    );
    await enter('list_secret_version_ids_res_1', 'ListSecretVersionIds', { SecretId: name });
    await enter('put_secret_value_res_1', 'PutSecretValue', { SecretId: name, SecretString: 'S2' });
    await enter('list_secret_version_ids_res_2', 'ListSecretVersionIds', { SecretId: name });
    await enter('delete_secret_res_0', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_update_secret_version_stages_current_pending_cycle({ name, enter }) {
    const first = v(
      await enter('create_secret_rs_0', 'CreateSecret', { Name: name, SecretString: 'S1' }),
    );
    const second = v(
      await enter('put_secret_value_res_0', 'PutSecretValue', {
        SecretId: name,
        SecretString: 'S2',
        VersionStages: ['AWSPENDING'],
      }),
    );
    await enter('list_secret_version_ids_res_0', 'ListSecretVersionIds', { SecretId: name });
    await enter('get_secret_value_res_0', 'GetSecretValue', { SecretId: name });
    await enter(
      'update_secret_version_stage_res_0',
      'UpdateSecretVersionStage',
      current(name, first, second),
    );
    await enter('list_secret_version_ids_res_1', 'ListSecretVersionIds', { SecretId: name });
    await enter('get_secret_value_res_1', 'GetSecretValue', { SecretId: name });
    const third = v(
      await enter('put_secret_value_res_1', 'PutSecretValue', {
        SecretId: name,
        SecretString: 'S3',
        VersionStages: ['AWSPENDING'],
      }),
    );
    await enter('list_secret_version_ids_res_2', 'ListSecretVersionIds', { SecretId: name });
    await enter('get_secret_value_res_2', 'GetSecretValue', { SecretId: name });
    // The recorded name says put, the recorded answer is that of a label moved.
    await enter('put_secret_value_res_2', 'UpdateSecretVersionStage', current(name, second, third));
    await enter('list_secret_version_ids_res_3', 'ListSecretVersionIds', { SecretId: name });
    await enter('get_secret_value_res_3', 'GetSecretValue', { SecretId: name });
    await enter('delete_secret_res_0', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_update_secret_version_stages_current_pending_cycle_custom_stages_1({ name, enter }) {
    const [firstStages, secondStages] = [
      ['AWSPENDING', 'PUT1', 'AWSSOMETHING'],
      ['AWSPENDING', 'PUT2'],
    ];
    const first = v(
      await enter('create_secret_rs_0', 'CreateSecret', { Name: name, SecretString: 'S1' }),
    );
    const second = v(
      await enter('put_secret_value_res_0', 'PutSecretValue', {
        SecretId: name,
        SecretString: 'S2',
        VersionStages: firstStages,
      }),
    );
    await enter('list_secret_version_ids_res_0', 'ListSecretVersionIds', { SecretId: name });
    await enter('get_secret_value_res_0', 'GetSecretValue', { SecretId: name });
    await enter(
      'update_secret_version_stage_res_0',
      'UpdateSecretVersionStage',
      current(name, first, second),
    );
    await enter('list_secret_version_ids_res_1', 'ListSecretVersionIds', { SecretId: name });
    await enter('get_secret_value_res_1', 'GetSecretValue', { SecretId: name });
    const third = v(
      await enter('put_secret_value_res_1', 'PutSecretValue', {
        SecretId: name,
        SecretString: 'S3',
        VersionStages: secondStages,
      }),
    );
    await enter('list_secret_version_ids_res_2', 'ListSecretVersionIds', { SecretId: name });
    await enter('get_secret_value_res_2', 'GetSecretValue', { SecretId: name });
    await enter(
      'update_secret_version_stage_res_1',
      'UpdateSecretVersionStage',
      current(name, second, third),
    );
    await enter('list_secret_version_ids_res_3', 'ListSecretVersionIds', { SecretId: name });
    await enter('get_secret_value_res_3', 'GetSecretValue', { SecretId: name });
    await enter('delete_secret_res_0', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_update_secret_version_stages_current_pending_cycle_custom_stages_2({ name, enter }) {
    await enter('create_secret_rs_0', 'CreateSecret', { Name: name, SecretString: 'S0' });
    const put = (index: number, VersionStages: string[]): Promise<Json> =>
      enter(`put_secret_value_res_${index}`, 'PutSecretValue', {
        SecretId: name,
        SecretString: `S${index + 1}`,
        VersionStages,
      });
    const list = (index: number): Promise<Json> =>
      enter(`list_secret_version_ids_res_${index}`, 'ListSecretVersionIds', { SecretId: name });
    const get = (index: number): Promise<Json> =>
      enter(`get_secret_value_res_${index}`, 'GetSecretValue', { SecretId: name });
    const second = v(await put(0, ['AWSCURRENT', 'PUT0']));
    await list(0);
    const third = v(await put(1, ['AWSPENDING', 'PUT1']));
    await list(1);
    await get(0);
    await enter(
      'update_secret_version_stage_res_0',
      'UpdateSecretVersionStage',
      current(name, second, third),
    );
    await list(2);
    await get(1);
    const fourth = v(await put(2, ['AWSPENDING', 'PUT2']));
    await list(3);
    await get(2);
    await enter(
      'update_secret_version_stage_res_1',
      'UpdateSecretVersionStage',
      current(name, third, fourth),
    );
    await list(4);
    await get(3);
    await enter('delete_secret_res_0', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_update_secret_version_stages_current_pending_cycle_custom_stages_3({ name, enter }) {
    const first = v(
      await enter('create_secret_rs', 'CreateSecret', { Name: name, SecretString: 'SS' }),
    );
    const second = v(
      await enter('put_secret_value_res_0', 'PutSecretValue', {
        SecretId: name,
        SecretString: 'S1',
        VersionStages: ['PENDING'],
      }),
    );
    await enter('list_secret_version_ids_rs', 'ListSecretVersionIds', { SecretId: name });
    const getBoth = async (suffix: string): Promise<void> => {
      await enter(`get_secret_value_v1_rs${suffix}`, 'GetSecretValue', {
        SecretId: name,
        VersionId: first,
      });
      await enter(`get_secret_value_v2_rs${suffix}`, 'GetSecretValue', {
        SecretId: name,
        VersionId: second,
      });
    };
    await getBoth('');
    await enter(
      'update_secret_version_stage_res_1',
      'UpdateSecretVersionStage',
      current(name, first, second),
    );
    await getBoth('_1');
    const removal = { SecretId: name, VersionStage: 'PENDING', RemoveFromVersionId: second };
    await enter('update_secret_version_stage_res_2', 'UpdateSecretVersionStage', removal);
    await getBoth('_2');
    await enter('delete_secret_res_0', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  test_non_versioning_version_stages_replacement: (world) =>
    putTwice(world, ['one', 'two', 'three', 'four']),
  test_non_versioning_version_stages_no_replacement: (world) =>
    putTwice(world, ['one', 'two', 'four']),
  async test_secret_not_found({ enter }) {
    await enter('get_secret_value_not_found_ex', 'GetSecretValue', { SecretId: 'nothing-here' });
    await enter('list_secret_version_ids_not_found_ex', 'ListSecretVersionIds', {
      SecretId: 'nothing-here',
    });
  },
  async test_secret_exists_snapshots({ name, send, enter }) {
    await send('CreateSecret', { Name: name, SecretString: 'x' });
    await enter('ex_log', 'CreateSecret', { Name: name, SecretString: 'x' });
    await enter('delete_secret_res', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_no_client_request_token({ name, parameter, send, post, enterRaw }) {
    await send('CreateSecret', { Name: name, SecretString: 'x' });
    const inputs: Record<string, object> = { CreateSecret: { Name: 'other' } };
    const { status, body } = await post(
      parameter,
      inputs[parameter] ?? { SecretId: name, SecretString: 'y' },
    );
    enterRaw('no-client-request-exc', { Error: body, Metadata: { StatusCode: status } });
  },
  async test_create_secret_version_from_empty_secret({ name, enter }) {
    await enter('create-empty-secret', 'CreateSecret', { Name: name });
    await enter('describe-secret', 'DescribeSecret', { SecretId: name });
    await enter('put-secret-value', 'PutSecretValue', { SecretId: name, SecretString: 'x' });
  },
  async test_rotate_secret_with_lambda_success({ name, parameter, simulator, send, enter }) {
    await send('CreateSecret', {
      Name: name,
      SecretString: 'x',
      Description: 'testing rotation of secrets',
    });
    const immediately = parameter === 'True' ? { RotateImmediately: true } : {};
    await enter('rotate_secret_immediately', 'RotateSecret', { ...rotation(name), ...immediately });
    await simulator.rotationsFinished();
    await enter('describe_secret_rotated', 'DescribeSecret', { SecretId: name });
    await enter('list_secret_versions_rotated_1', 'ListSecretVersionIds', { SecretId: name });
  },
  async test_rotate_secret_multiple_times_with_lambda_success({ name, simulator, send, enter }) {
    await send('CreateSecret', {
      Name: name,
      SecretString: 'x',
      Description: 'testing rotation of secrets',
    });
    for (const round of [1, 2]) {
      await enter(`rotate_secret_immediately_${round}`, 'RotateSecret', rotation(name));
      await simulator.rotationsFinished();
      await enter(`describe_secret_rotated_${round}`, 'DescribeSecret', { SecretId: name });
      await enter(`list_secret_versions_rotated_1_${round}`, 'ListSecretVersionIds', {
        SecretId: name,
      });
    }
  },
  async test_rotate_secret_invalid_lambda_arn({ name, enter }) {
    await enter('create_secret', 'CreateSecret', { Name: name, SecretString: 'x' });
    await enter('rotate_secret_invalid_arn_exc', 'RotateSecret', {
      ...rotation(name),
      RotationLambdaARN: `${lambdaArn}-of-nobody`,
    });
    await enter('describe_secret', 'DescribeSecret', { SecretId: name });
  },
  async test_first_rotate_secret_with_missing_lambda_arn({ name, enter }) {
    await enter('create_secret', 'CreateSecret', { Name: name, SecretString: 'x' });
    await enter('rotate_secret_no_arn_exc', 'RotateSecret', { SecretId: name });
    await enter('describe_secret', 'DescribeSecret', { SecretId: name });
  },
  async test_resource_policy({ name, send, enter, enterRaw }) {
    const statement = {
      Effect: 'Allow',
      Principal: '*',
      Action: 'secretsmanager:GetSecretValue',
      Resource: '*',
    };
    await send('CreateSecret', { Name: name, SecretString: 'x' });
    const ResourcePolicy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
    await enter('put_resource_policy', 'PutResourcePolicy', { SecretId: name, ResourcePolicy });
    // The recording has the policy parsed.
    const answer = (await send('GetResourcePolicy', { SecretId: name })) as { [key: string]: Json };
    enterRaw('get_resource_policy', {
      ...answer,
      ResourcePolicy: JSON.parse(String(answer['ResourcePolicy'])),
    });
  },
  async test_secret_restore({ name, send, enter }) {
    await send('CreateSecret', { Name: name, SecretString: 'x' });
    await enter('delete_secret_res', 'DeleteSecret', { SecretId: name });
    await enter('restore_secret_res', 'RestoreSecret', { SecretId: name });
  },
  async test_secret_tags({ name, send, enter }) {
    const tag = (...numbers: number[]): object => ({
      SecretId: name,
      Tags: numbers.map((n) => ({ Key: `tag${n}`, Value: `value${n}` })),
    });
    const list = (suffix: string): Promise<Json> =>
      enter(`describe_secret${suffix}`, 'DescribeSecret', { SecretId: name });
    await enter('create_secret', 'CreateSecret', { Name: name });
    await list('');
    await enter('tag_resource_1', 'TagResource', tag(1));
    await list('_1');
    await enter('tag_resource_2', 'TagResource', tag(2));
    await list('_2');
    await enter('untag_resource_1', 'UntagResource', { SecretId: name, TagKeys: ['tag1'] });
    await list('_3');
    await enter('untag_resource_2', 'UntagResource', { SecretId: name, TagKeys: ['tag2'] });
    await list('_4');
    await send('TagResource', tag(3, 4));
    await list('_5');
    await send('UntagResource', { SecretId: name, TagKeys: ['tag3', 'tag4'] });
    await list('_6');
  },
  async test_deprecated_secret_version_stage({ name, enter }) {
    const list = (suffix: string, IncludeDeprecated: boolean): Promise<Json> =>
      enter(`list_secret_version_ids${suffix}`, 'ListSecretVersionIds', {
        SecretId: name,
        IncludeDeprecated,
      });
    await enter('create_secret', 'CreateSecret', { Name: name, SecretString: 'x1' });
    await list('', false);
    await enter('put_secret_value_1', 'PutSecretValue', { SecretId: name, SecretString: 'x2' });
    await list('_1', false);
    await enter('put_secret_value_2', 'PutSecretValue', { SecretId: name, SecretString: 'x3' });
    await list('_2', false);
    await list('_3', true);
    await enter('put_secret_value_3', 'PutSecretValue', { SecretId: name, SecretString: 'x4' });
    await list('_4', false);
    await list('_5', true);
  },
  async test_get_secret_value_errors({ name, send, enter }) {
    const VersionId = v(await send('CreateSecret', { Name: name, SecretString: 'x' }));
    await enter('error_get_secret_value_non_existing', 'GetSecretValue', {
      SecretId: name,
      VersionStage: 'AWSPREVIOUS',
    });
    await enter('mismatch_version_id_and_stage', 'GetSecretValue', {
      SecretId: name,
      VersionId,
      VersionStage: 'AWSPREVIOUS',
    });
  },
  async test_secret_version_not_found({ name, send, enterRaw }) {
    await send('CreateSecret', { Name: name });
    // Recorded as boto3 prints an error.
    const print = async (answer: string, which: object): Promise<void> => {
      const error = await send('GetSecretValue', { SecretId: name, ...which });
      const [code, message] = [of(error, 'Error', 'Code'), of(error, 'Error', 'Message')];
      enterRaw(
        answer,
        `An error occurred (${code}) when calling the GetSecretValue operation: ${message}`,
      );
    };
    await print('get_secret_value_no_version_ex', {});
    await print('get_secret_value_version_not_found_ex', {
      VersionId: '0d9f3a1e-0000-4000-8000-000000000000',
    });
    await print('get_secret_value_stage_not_found_ex', { VersionStage: 'AWSPENDING' });
  },
  async test_get_secret_value({ name, send, enter, post, enterRaw }) {
    await send('CreateSecret', { Name: name, SecretBinary: Buffer.from('footest') });
    await enter('secret_value_response', 'GetSecretValue', { SecretId: name });
    enterRaw('secret_value_http_response', (await post('GetSecretValue', { SecretId: name })).body);
  },
  async test_force_delete_deleted_secret({ name, enter }) {
    await enter('create_secret_response', 'CreateSecret', { Name: name, SecretString: 'x' });
    await enter('delete_secret_response', 'DeleteSecret', { SecretId: name });
    await enter('describe_secret_response', 'DescribeSecret', { SecretId: name });
    await enter('force_delete_secret_response', 'DeleteSecret', {
      SecretId: name,
      ForceDeleteWithoutRecovery: true,
    });
  },
  async test_tag_untag_resource_on_deleted_secret({ name, enter }) {
    await enter('create_secret', 'CreateSecret', { Name: name, SecretString: 'x' });
    await enter('delete_secret', 'DeleteSecret', { SecretId: name });
    await enter('tag_deleted_secret_error', 'TagResource', {
      SecretId: name,
      Tags: [{ Key: 'a', Value: 'b' }],
    });
    await enter('untag_deleted_secret_error', 'UntagResource', { SecretId: name, TagKeys: ['a'] });
  },
  async test_change_secret_value_after_creation({ name, parameter, send, enter }) {
    const [first = '', second = ''] = parameter
      .split('-')
      .map((text) =>
        text.replace(/\\x(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
      );
    await send('CreateSecret', { Name: name, SecretBinary: Buffer.from('initial') });
    await enter('put_secret_value_secret_response', 'GetSecretValue', { SecretId: name });
    await send('PutSecretValue', { SecretId: name, SecretBinary: Buffer.from(first, 'latin1') });
    await enter('put_secret_binary_response_updated', 'GetSecretValue', { SecretId: name });
    await send('UpdateSecret', { SecretId: name, SecretBinary: Buffer.from(second, 'latin1') });
    await enter('update_secret_binary_response_updated', 'GetSecretValue', { SecretId: name });
  },
};

/** Recorded under other names, by the same calls. */
const sameCalls: Record<string, string> = {
  test_call_lists_secrets_multiple_times_snapshots: 'test_call_lists_secrets_multiple_times',
  test_create_multi_secrets_snapshot: 'test_create_multi_secrets',
};

const current = (SecretId: string, from: string, to: string): object => ({
  SecretId,
  VersionStage: 'AWSCURRENT',
  RemoveFromVersionId: from,
  MoveToVersionId: to,
});

const rotation = (SecretId: string): object => ({
  SecretId,
  RotationLambdaARN: lambdaArn,
  RotationRules: { AutomaticallyAfterDays: 1 },
});

async function putTwice({ name, enter }: World, second: string[]): Promise<void> {
  await enter('create_secret_rs_0', 'CreateSecret', { Name: name, SecretString: 'x' });
  for (const [index, VersionStages] of [['one', 'two', 'three'], second].entries()) {
    await enter(`put_secret_value_res_${index}`, 'PutSecretValue', {
      SecretId: name,
      SecretString: `S${index}`,
      VersionStages,
    });
    await enter(`list_secret_version_ids_res_${index}`, 'ListSecretVersionIds', { SecretId: name });
  }
  await enter('delete_secret_res_0', 'DeleteSecret', {
    SecretId: name,
    ForceDeleteWithoutRecovery: true,
  });
}

for (const { name, content } of recordings) {
  test(`the simulator answers as the real service did in ${name}`, async () => {
    const bare = name.replace(/\[.*$/s, '');
    const script = scripts[sameCalls[bare] ?? bare];
    if (!script) throw new Error('no script for this recording');

    const { entered, known } = await play(script, name);

    const expected = withoutEmptyHeaders(content);
    for (const [answer, value] of Object.entries(entered))
      learnFrom(value, expected[answer] ?? null, known);
    expect(entered).toEqual(fillIn(expected, known));
  });
}

/**
 * Runs a script against a fresh simulator: its answers, and what the placeholders of the recording
 * mean as far as the script chose them.
 */
async function play(
  script: Script,
  recordedName: string,
): Promise<{ entered: Recorded; known: Map<string, string> }> {
  const simulator = await openSecretsManagerSimulator({
    rotationFunctions: { [lambdaArn]: (step) => rotate(step) },
  });
  const client = new sdk.SecretsManagerClient({
    endpoint: simulator.url,
    region: simulator.region,
    credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
    maxAttempts: 1,
  });
  keepErrorTexts(client);
  const parameter = recordedName
    .replace(/^[^[]*\[?/, '')
    .replace(/\]$/, '')
    .replaceAll('\\\\', '\\');
  const isNameGiven = recordedName.startsWith('test_create_and_update_secret');
  const name =
    isNameGiven && parameter.includes('/') ? parameter.replace(/-(True|False)$/, '') : 'secret-0';
  const entered: Recorded = {};
  const known = new Map<string, string>([
    ['<SecretId-0idx>', name],
    ['<SecretId-1idx>', 'secret-1'],
    ['<SecretId-2idx>', 'secret-2'],
    ['<name:1>', name],
    ['<lambda-arn:1>', lambdaArn],
    ['<version-id>', '0d9f3a1e-0000-4000-8000-000000000000'],
    ['<partition>', 'aws'],
    ['<region>', simulator.region],
  ]);
  const send = (action: string, input: object): Promise<Json> => ask(client, action, input);
  const rotate: RotationFunction = async ({ Step, SecretId, ClientRequestToken }) => {
    if (Step === 'createSecret') {
      await send('GetSecretValue', { SecretId, VersionStage: 'AWSCURRENT' });
      await send('PutSecretValue', {
        SecretId,
        ClientRequestToken,
        SecretString: 'y',
        VersionStages: ['AWSPENDING'],
      });
    }
    if (Step !== 'finishSecret') return;
    const stages = (await send('DescribeSecret', { SecretId })) as {
      VersionIdsToStages: Record<string, string[]>;
    };
    const holder =
      Object.entries(stages.VersionIdsToStages).find(([, labels]) =>
        labels.includes('AWSCURRENT'),
      )?.[0] ?? '';
    await send('UpdateSecretVersionStage', current(SecretId, holder, ClientRequestToken));
  };
  try {
    const enterRaw = (answer: string, value: Json): void => {
      entered[answer] = value;
    };
    await script({
      name,
      parameter,
      simulator,
      send,
      enterRaw,
      async enter(answer, action, input) {
        const value = await send(action, input);
        enterRaw(answer, value);
        return value;
      },
      post: (action, input) => post(simulator.url, action, input),
    });
  } finally {
    client.destroy();
    await simulator.close();
  }
  return { entered, known };
}

/** An answer or an error as LocalStack's suite writes them down. */
async function ask(client: sdk.SecretsManagerClient, action: string, input: object): Promise<Json> {
  type Command = Parameters<typeof client.send>[0];
  const make = (sdk as unknown as Record<string, new (input: object) => Command>)[
    `${action}Command`
  ];
  if (!make) throw new Error(`the SDK has no ${action}`);
  try {
    const { $metadata, ...answer } = (await client.send(new make(input))) as unknown as Record<
      string,
      unknown
    > & {
      $metadata: { httpStatusCode: number };
    };
    return asRecorded({
      ...answer,
      ResponseMetadata: { HTTPStatusCode: $metadata.httpStatusCode },
    });
  } catch (error) {
    if (!(error instanceof sdk.SecretsManagerServiceException)) throw error;
    // boto3 repeats the text outside "Error" where the service spells it "Message", as it does for
    // errors in the action's own list.
    const modelled = errorTexts.get(error.$metadata.requestId ?? '');
    return {
      Error: { Code: error.name, Message: error.message },
      ...(modelled === undefined ? {} : { Message: modelled }),
      ResponseMetadata: { HTTPStatusCode: error.$metadata.httpStatusCode ?? 0 },
    };
  }
}

/** "Message" of an error's body by request id: the SDK folds both spellings into one. */
const errorTexts = new Map<string, string>();

function keepErrorTexts(client: sdk.SecretsManagerClient): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const response = result.response as {
        statusCode: number;
        headers: Record<string, string>;
        body: Readable;
      };
      if (response.statusCode < 400) return result;
      const body = await text(response.body);
      response.body = Readable.from([Buffer.from(body)]);
      const { Message } = JSON.parse(body) as { Message?: string };
      if (Message !== undefined)
        errorTexts.set(response.headers['x-amzn-requestid'] ?? '', Message);
      return result;
    },
    { step: 'deserialize', priority: 'low' },
  );
}

async function post(
  url: string,
  action: string,
  input: object,
): Promise<{ status: number; body: Json }> {
  const headers = {
    'content-type': 'application/x-amz-json-1.1',
    'x-amz-target': `secretsmanager.${action}`,
    'x-amz-date': new Date().toISOString().replace(/[-:]|\.\d+/g, ''),
    authorization:
      'AWS4-HMAC-SHA256 Credential=x/20261123/us-east-1/secretsmanager/aws4_request, ' +
      'SignedHeaders=host, Signature=x',
  };
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...headers, connection: 'close' },
    body: JSON.stringify(input),
  });
  return { status: response.status, body: asRecorded(await response.json()) };
}

/** Dates are "datetime", bytes as Python prints them. */
function asRecorded(value: unknown, key = ''): Json {
  if (value instanceof Date || (key.endsWith('Date') && typeof value === 'number'))
    return 'datetime';
  if (value instanceof Uint8Array) return `b'${[...value].map(printableByte).join('')}'`;
  if (Array.isArray(value)) return value.map((item) => asRecorded(item));
  if (typeof value !== 'object' || value === null) return (value ?? null) as Json;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, asRecorded(field, name)]),
  );
}

/** Learns what placeholders mean from every recorded text whose answer is there. */
function learnFrom(value: Json, recorded: Json, known: Map<string, string>): void {
  if (typeof value === 'string' && typeof recorded === 'string') learn(value, recorded, known);
  else if (
    typeof value === 'object' &&
    typeof recorded === 'object' &&
    value !== null &&
    recorded !== null
  ) {
    const [keys, recordedKeys] = [Object.keys(value), Object.keys(recorded)];
    // A version id that is only a key.
    if (keys.length === 1 && recordedKeys.length === 1)
      learn(keys[0] ?? '', recordedKeys[0] ?? '', known);
    for (const [key, field] of Object.entries(value))
      learnFrom(field, (recorded as { [key: string]: Json })[key] ?? null, known);
  }
}

const placeholder = /(<[a-zA-Z][^<>]*>)/;

function learn(text: string, recorded: string, known: Map<string, string>): void {
  const parts = recorded.split(placeholder);
  const unknown = parts.filter((part) => placeholder.test(part) && !known.has(part));
  const patterns = parts.map((part) =>
    unknown.includes(part)
      ? '(.+)'
      : (known.get(part) ?? part).replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'),
  );
  const found = new RegExp(`^${patterns.join('')}$`, 's').exec(text);
  for (const [index, part] of unknown.entries()) if (found) known.set(part, found[index + 1] ?? '');
}

/** The recording with its placeholders filled in, in keys too. */
function fillIn(recorded: Recorded, known: Map<string, string>): Json {
  const fill = (text: string): string =>
    text.replace(new RegExp(placeholder, 'g'), (part) => known.get(part) ?? part);
  const walk = (at: Json): Json => {
    if (typeof at === 'string') return fill(at);
    if (Array.isArray(at)) return at.map(walk);
    if (typeof at !== 'object' || at === null) return at;
    return Object.fromEntries(Object.entries(at).map(([key, field]) => [fill(key), walk(field)]));
  };
  return walk(recorded);
}

/**
 * The suite's empty HTTPHeaders left out, and the status, which its oldest recordings lack, added.
 */
function withoutEmptyHeaders(content: Recorded): Recorded {
  const answers = Object.entries(content).map(([answer, value]): [string, Json] => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [answer, value];
    const isComplete =
      'ResponseMetadata' in value || 'Metadata' in value || answer === 'secret_value_http_response';
    return [answer, isComplete ? value : { ...value, ResponseMetadata: { HTTPStatusCode: 200 } }];
  });
  return JSON.parse(JSON.stringify(Object.fromEntries(answers)), (key, value) =>
    key === 'HTTPHeaders' ? undefined : value,
  );
}

/** A byte as Python prints it in a bytes literal. */
function printableByte(byte: number): string {
  return byte > 31 && byte < 127
    ? String.fromCharCode(byte)
    : `\\x${byte.toString(16).padStart(2, '0')}`;
}
