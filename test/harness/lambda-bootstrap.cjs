// Does what the Node runtime of AWS Lambda does with a function: loads the handler, asks for the
// next event, responds. Source: the Lambda runtime API, read 2026-11. Plain JavaScript, so that
// Node.js can run it without a build.
'use strict';
const http = require('node:http');
const { join } = require('node:path');

const [file, name] = process.env._HANDLER.split('.');
const startedMs = performance.now();
const handler = require(join(process.env.LAMBDA_TASK_ROOT, `${file}.js`))[name];
if (typeof handler !== 'function') throw new Error(`${process.env._HANDLER} is no function`);
const loadedMs = performance.now() - startedMs;

const agent = new http.Agent({ keepAlive: true });
function call(method, path, body) {
  const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host, port, method, path: `/2018-06-01/runtime/${path}`, agent },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve({ headers: response.headers, text }));
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

async function serve() {
  for (;;) {
    const { headers, text } = await call('GET', `invocation/next?loaded=${loadedMs}`);
    const id = headers['lambda-runtime-aws-request-id'];
    const deadlineMs = Number(headers['lambda-runtime-deadline-ms']);
    const context = {
      awsRequestId: id,
      invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
      getRemainingTimeInMillis: () => Math.max(0, deadlineMs - Date.now()),
    };
    try {
      const answer = await handler(JSON.parse(text), context);
      await call('POST', `invocation/${id}/response`, JSON.stringify(answer ?? null));
    } catch (error) {
      await call(
        'POST',
        `invocation/${id}/error`,
        JSON.stringify({ errorType: error.name, errorMessage: error.message }),
      );
    }
  }
}

void serve();
