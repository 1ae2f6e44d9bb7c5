'use strict';
// Functions of different shares, called in rounds until the end: `profile_node.rs` compares them with `node --cpu-prof`.
// None spends its time in builtins that have no frames, such as those of strings: V8's profiler then leaves out who called
// them.
const { createHash } = require('crypto');

function divide(n) {
  let sum = 0;
  for (let i = 1; i < n; i++) sum += (n * i) % 97;
  return sum;
}

function hash(n) {
  let sum = 5381;
  for (let i = 0; i < n; i++) sum = (sum * 33 + (i & 255)) & 0xff_ffff;
  return sum;
}

const flags = new Uint8Array(20_000);
function sieve(n) {
  flags.fill(0);
  let found = 0;
  for (let i = 2; i < n; i++) {
    if (flags[i] !== 0) continue;
    found++;
    for (let j = i * 2; j < n; j += i) flags[j] = 1;
  }
  return found;
}

function collatz(n) {
  let steps = 0;
  for (let i = 1; i < n; i++) {
    for (let x = i; x > 1; steps++) x = x % 2 === 0 ? x / 2 : 3 * x + 1;
  }
  return steps;
}

function fibonacci(n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

function polynomial(n) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum = (sum * 31 + i * i) % 1_000_003;
  return sum;
}

function descend(depth, n) {
  return depth === 0 ? polynomial(n) : descend(depth - 1, n) + 1;
}

function compare(a, b) {
  let difference = a - b;
  for (let i = 0; i < 12; i++) difference += (a ^ b) & 0;
  return difference;
}

const numbers = [];
function order(n) {
  for (let i = 0; i < n; i++) numbers[i] = (i * 7919) % n;
  numbers.sort(compare);
  return numbers[0];
}

class Matrix {
  constructor(size) {
    this.size = size;
    this.left = new Float64Array(size * size).fill(1.5);
    this.right = new Float64Array(size * size).fill(0.5);
    this.product = new Float64Array(size * size);
  }

  multiply() {
    const { size, left, right, product } = this;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let k = 0; k < size; k++) sum += left[i * size + k] * right[k * size + j];
        product[i * size + j] = sum;
      }
    }
    return product[0];
  }
}

function* produce(n) {
  for (let i = 0; i < n; i++) {
    let x = i;
    for (let j = 0; j < 40; j++) x = (x * 17 + j) % 1009;
    yield x;
  }
}

function generate(n) {
  let sum = 0;
  for (const x of produce(n)) sum += x;
  return sum;
}

const digested = Buffer.alloc(64 * 1024, 7);
function digest() {
  return createHash('sha256').update(digested).digest()[0];
}

async function settle(n) {
  await null;
  return hash(n);
}

// Both are compiled into who calls them.
function within(n) {
  return fibonacci(n) + 1;
}

function through(n) {
  return within(n) + within(n - 1);
}

const matrix = new Matrix(48);
// More functions than a call remembers, so that none of them is compiled into the caller.
const work = [
  [divide, 40_000],
  [hash, 90_000],
  [sieve, 20_000],
  [collatz, 700],
  [through, 20],
  [(n) => descend(20, n), 30_000],
  [order, 1_500],
  [() => matrix.multiply(), 0],
  [generate, 800],
  [digest, 0],
];
let sum = 0;
function rounds() {
  for (let i = 0; i < 4; i++) {
    for (const [does, n] of work) sum += does(n);
  }
}

// Until everything is compiled that will be: on a busy machine that is not a matter of the clock.
function warm() {
  while (process.cpuUsage().user < 1_500_000) rounds();
}

warm();
process.on('SIGTERM', () => process.exit(sum === 0 ? 1 : 0));
console.log('ready');
(function again() {
  rounds();
  settle(60_000);
  setImmediate(again);
})();
