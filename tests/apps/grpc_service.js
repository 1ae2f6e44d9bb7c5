// The methods of `tests.Bytes`, whose messages are bytes.
'use strict';

const bytes = {
  requestSerialize: (value) => value,
  requestDeserialize: (value) => value,
  responseSerialize: (value) => value,
  responseDeserialize: (value) => value,
};
const method = (name, requestStream, responseStream) => ({
  path: `/tests.Bytes/${name}`,
  requestStream,
  responseStream,
  ...bytes,
});

exports.service = {
  Unary: method('Unary', false, false),
  Late: method('Late', false, false),
  Collect: method('Collect', true, false),
  Repeat: method('Repeat', false, true),
  Echo: method('Echo', true, true),
  Endless: method('Endless', false, true),
};
exports.absent = method('Absent', false, false);
