// The traffic mix: defines request number i of a run. Pure, and the same for the same seed.

export const GET_SHARE = 0.8;
export const BODY_BYTES = { least: 512, most: 2048 };

// Of the GETs, POPULAR_SHARE send one of POPULAR_PROMPTS, the rest one of RARE_PROMPTS. The first are nearly always in the
// cache, the second nearly never, so hits are 60-80 % both of GETs and of all requests, at any rate and lifetime.
export const POPULAR_SHARE = 0.78;
export const POPULAR_PROMPTS = 40;
export const RARE_PROMPTS = 50000;

// 198.18.0.0/15 is reserved for benchmarks (RFC 2544, RFC 6890), so no address is in use.
export const ADDRESSES = Array.from({ length: 200 }, (_, i) => `198.${18 + (i % 2)}.${i >> 1}.${1 + i}`);
export const LONE_ADDRESS = "198.19.255.1"; // none of them

const FILLER = "the gate keeps a quiet river of questions and each one follows the light of many before it ";

// mulberry32: 32 bits of state suffice to choose prompts, and a run can be repeated.
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function body(prompt, bytes) {
  const frame = JSON.stringify({ prompt: "" }).length;
  const length = bytes - frame;
  let whole = `${prompt} `;
  while (whole.length < length) whole += FILLER;
  return whole.slice(0, length); // ASCII without a quote or backslash: a character is a byte of JSON
}

// {method, prompt, address}; of a POST, the prompt makes its body BODY_BYTES long.
export function request(seed, i) {
  const next = random(Math.imul(i + 1, 0x9e3779b1) ^ seed);
  const address = ADDRESSES[i % ADDRESSES.length];
  if (next() < GET_SHARE) {
    const popular = next() < POPULAR_SHARE;
    const which = Math.floor(next() * (popular ? POPULAR_PROMPTS : RARE_PROMPTS));
    return { method: "GET", prompt: `${popular ? "popular" : "rare"} question ${which}`, address };
  }
  const bytes = BODY_BYTES.least + Math.floor(next() * (BODY_BYTES.most - BODY_BYTES.least + 1));
  return { method: "POST", prompt: body(`posted question ${i} of ${seed}`, bytes), address };
}
