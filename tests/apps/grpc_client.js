// Calls every kind of method of `grpc_server.js` or `grpc_server.py`, a hundred at once. Takes a port, and for TLS the
// file of a certificate; UNARY is the number of plain calls; with CANCEL it also takes back a call.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const { service, absent } = require('./grpc_service.js');

const Client = grpc.makeClientConstructor({ ...service, Absent: absent }, 'Bytes');
const [port, certificate] = process.argv.slice(2);
const credentials = certificate
  ? grpc.credentials.createSsl(fs.readFileSync(certificate))
  : grpc.credentials.createInsecure();
const client = new Client(`127.0.0.1:${port}`, credentials);

const unary = (name, request, options = {}) =>
  new Promise((resolve, reject) => {
    client[name](Buffer.from(request), new grpc.Metadata(), options, (error, answer) =>
      error ? reject(error) : resolve(answer.toString()),
    );
  });
const fails = (code, promise) => assert.rejects(promise, (error) => error.code === code);
const read = async (stream) => {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece.toString());
  return pieces;
};

async function main() {
  let next = 0;
  const lane = async () => {
    while (next < Number(process.env.UNARY)) {
      const number = String(next++);
      assert.equal(await unary('Unary', number), number);
    }
  };
  await Promise.all(Array.from({ length: 100 }, lane));
  await fails(grpc.status.NOT_FOUND, unary('Unary', 'missing'));
  await fails(grpc.status.UNKNOWN, unary('Unary', 'broken'));
  await fails(grpc.status.UNIMPLEMENTED, unary('Absent', ''));

  const pieces = ['a'.repeat(100), 'b'.repeat(5000), 'c'];
  const collected = await new Promise((resolve, reject) => {
    const call = client.Collect((error, answer) => (error ? reject(error) : resolve(answer.toString())));
    pieces.forEach((piece) => call.write(Buffer.from(piece)));
    call.end();
  });
  assert.equal(collected, pieces.join(''));
  assert.deepEqual(await read(client.Repeat(Buffer.from('x'))), ['x', 'x', 'x']);
  const echo = client.Echo();
  pieces.forEach((piece) => echo.write(Buffer.from(piece)));
  echo.end();
  assert.deepEqual(await read(echo), pieces);

  if (process.env.CANCEL) {
    const endless = client.Endless(Buffer.from('x'));
    await new Promise((resolve) => {
      endless.on('data', () => endless.cancel());
      endless.on('error', (error) => resolve(assert.equal(error.code, grpc.status.CANCELLED)));
    });
  }
  // A server that knows the deadline may be first; tonic's calls it cancelled.
  const late = [grpc.status.DEADLINE_EXCEEDED, grpc.status.CANCELLED];
  await assert.rejects(unary('Late', '', { deadline: Date.now() + 200 }), (error) => late.includes(error.code));
  client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
