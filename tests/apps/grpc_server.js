// A gRPC service of bytes on grpc-js, with no generated code: what grpc_server.py does. Takes a port; for TLS the files
// of a certificate and its key come before it.
'use strict';
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const { service } = require('./grpc_service.js');

const server = new grpc.Server();
server.addService(service, {
  Unary(call, callback) {
    const said = call.request.toString();
    if (said === 'missing') callback({ code: grpc.status.NOT_FOUND, details: 'not here' });
    else if (said === 'broken') callback({ code: grpc.status.UNKNOWN, details: 'broken' });
    else callback(null, call.request);
  },
  Late(call, callback) {
    setTimeout(() => callback(null, call.request), 5000).unref();
  },
  Collect(call, callback) {
    const pieces = [];
    call.on('data', (piece) => pieces.push(piece));
    call.on('end', () => callback(null, Buffer.concat(pieces)));
  },
  Repeat(call) {
    for (let count = 0; count < 3; count++) call.write(call.request);
    call.end();
  },
  Echo(call) {
    call.on('data', (piece) => call.write(piece));
    call.on('end', () => call.end());
  },
  Endless(call) {
    const timer = setInterval(() => call.write(call.request), 10);
    call.on('cancelled', () => clearInterval(timer));
  },
});
const [port, key, certificate] = process.argv.slice(2).reverse();
const pair = () => [{ private_key: fs.readFileSync(key), cert_chain: fs.readFileSync(certificate) }];
const credentials = key
  ? grpc.ServerCredentials.createSsl(null, pair())
  : grpc.ServerCredentials.createInsecure();
server.bindAsync(`127.0.0.1:${port}`, credentials, (error) => {
  if (error) throw error;
});
