// The streams of Node at the work of W1, W2 and W3: `node node.mjs hop|transforms|chunks MARK N SIZE`. Prints what came out, and the
// nanoseconds of wall time and of CPU that the flow took. Start-up is left out, and what it takes until the compiler has seen the code.
import { PassThrough, Readable, Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";

// each flow is new code to the compiler until it has seen a few of them, however long
const WARM_UP = { flows: 10, items: 20_000 };

const [kind, ...numbers] = process.argv.slice(2);
const [highWaterMark, n, size] = numbers.map(Number);
const objectMode = kind !== "chunks";
const chunk = Buffer.alloc(size, 7);

const changed = (change) =>
  new Transform({
    objectMode,
    highWaterMark,
    transform(item, _encoding, done) {
      done(null, change(item));
    },
  });

const between = {
  hop: () => [],
  transforms: () => [changed((i) => i * 3), changed((i) => i ^ 0x55), changed((i) => i + 7)],
  chunks: () => [new PassThrough({ highWaterMark })],
};

async function flow(n) {
  let next = 0;
  const source = new Readable({
    objectMode,
    highWaterMark,
    read() {
      while (next < n) {
        const item = objectMode ? next : chunk;
        next += 1;
        if (!this.push(item)) return;
      }
      this.push(null);
    },
  });
  let sum = 0;
  const sink = new Writable({
    objectMode,
    highWaterMark,
    write(item, _encoding, done) {
      sum += objectMode ? item : item.length;
      done();
    },
  });
  await pipeline(source, ...between[kind](), sink);
  return sum;
}

for (let at = 0; at < WARM_UP.flows; at += 1) await flow(WARM_UP.items);
const [start, before] = [process.hrtime.bigint(), process.cpuUsage()];
const sum = await flow(n);
const [wall, cpu] = [process.hrtime.bigint() - start, process.cpuUsage(before)];
console.log(`${sum} ${wall} ${(cpu.user + cpu.system) * 1000}`);
