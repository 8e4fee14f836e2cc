// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A tiny program that stands for the chart's image in the tests of the stand-in node.
//
// serve: an HTTP server that tells who it is and what the files it was given say; not ready while READY_FILE says "no".
// exit CODE: ends at once, for Jobs. write FILE: writes the file, for init containers.

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [verb, ...args] = process.argv.slice(2);
const option = (name) => args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
const read = (path) => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
};

const verbs = {
  serve: () => {
    const server = createServer((request, response) => {
      response.setHeader('connection', 'close');
      if (request.url === '/readyz') {
        response.statusCode = read(process.env.READY_FILE) === 'no' ? 503 : 200;
        response.end();
        return;
      }
      const { POD_NAME: pod, POD_IP: ip, VERSION: version } = process.env;
      const claims = read(`${option('account')}/token`)?.split('.')[1] ?? '';
      const token = claims && JSON.parse(Buffer.from(claims, 'base64url').toString());
      response.end(
        JSON.stringify({ pod, ip, version, file: read(option('file')), initial: read(option('initial')), token }),
      );
    });
    server.listen(Number(option('port')), option('host'), () => process.stdout.write('listening\n'));
    process.on('SIGTERM', () => {
      if (option('farewell')) appendFileSync(option('farewell'), `${Date.now()}\n`);
      process.exit(0);
    });
  },
  exit: () => process.exit(Number(args[0])),
  write: () => writeFileSync(args[0], 'written by init'),
};

verbs[verb]();
