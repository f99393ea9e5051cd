// The release of this program. scripts/build.mjs defines it from package.json.

declare const ROTATOR_VERSION: string | undefined;

export const version: string =
  typeof ROTATOR_VERSION === 'string' ? ROTATOR_VERSION : '0.0.0-development';
