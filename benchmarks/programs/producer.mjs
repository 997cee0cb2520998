// Producers for the Node systems: the same loops as producer.py.
const WARM_UP_JOBS = 20;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const cpuSeconds = () => {
  const used = process.cpuUsage();
  return (used.user + used.system) / 1e6;
};
export const nowSeconds = () => (performance.timeOrigin + performance.now()) / 1000;

function numbered(first, size) {
  return Array.from({ length: size }, (_, n) => ({ n: first + n }));
}

async function fill(producer, { count, batch }) {
  for (let first = 0; first < count; first += batch) {
    await producer.many("noop", numbered(first, Math.min(batch, count - first)));
  }
  return {};
}

async function timed(producer, { kind, count, batch }) {
  let started, cpu;
  if (kind === "single") {
    for (let n = 0; n < WARM_UP_JOBS; n++) await producer.single("noop", { n });
    [started, cpu] = [performance.now(), cpuSeconds()];
    for (let n = 0; n < count; n++) await producer.single("noop", { n });
  } else {
    const batches = [];
    for (let first = 0; first < count; first += batch) {
      batches.push(numbered(first, Math.min(batch, count - first)));
    }
    await producer.many("noop", batches[0]);
    [started, cpu] = [performance.now(), cpuSeconds()];
    for (const payloads of batches) await producer.many("noop", payloads);
  }
  return { jobs: count, seconds: (performance.now() - started) / 1000, cpu_s: cpuSeconds() - cpu };
}

async function probe(producer, { seconds, interval_ms }) {
  const ends = performance.now() + seconds * 1000;
  let count = 0;
  while (performance.now() < ends) {
    await pause((0.5 + Math.random()) * interval_ms);
    await producer.single("stamp", { at: nowSeconds() });
    count++;
  }
  return { jobs: count };
}

async function stream(producer, { rate, seconds, tick_ms }) {
  const [started, cpu] = [performance.now(), cpuSeconds()];
  let sent = 0;
  for (;;) {
    const elapsed = (performance.now() - started) / 1000;
    if (elapsed >= seconds) break;
    const due = Math.floor(elapsed * rate) - sent;
    if (due > 0) {
      const at = nowSeconds();
      await producer.many("stamp", Array.from({ length: due }, () => ({ at })));
      sent += due;
    }
    await pause(tick_ms);
  }
  return { jobs: sent, seconds: (performance.now() - started) / 1000, cpu_s: cpuSeconds() - cpu };
}

export async function produce(producer, [mode, ...pairs]) {
  const options = {};
  for (const pair of pairs) {
    const [key, value] = pair.split("=");
    options[key] = Number.isNaN(Number(value)) ? value : Number(value);
  }
  const modes = { fill, enqueue: timed, probe, stream };
  if (!(mode in modes)) throw new Error(`unknown mode ${mode}`);
  console.log(JSON.stringify(await modes[mode](producer, options)));
}
