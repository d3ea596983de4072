-- wrk's side of bench/memory.py. Arguments: number of distinct clients, the request target, where in the cycle to begin.
-- Addresses come from 198.18.0.0/15, the block set aside for benchmarks (RFC 2544).

local requests, position = {}, 0

function init(args)
   local clients = tonumber(args[1])
   for number = 0, clients - 1 do
      local second, third, fourth = 18 + math.floor(number / 65536), math.floor(number / 256) % 256, number % 256
      wrk.headers["X-Forwarded-For"] = string.format("198.%d.%d.%d", second, third, fourth)
      requests[number + 1] = wrk.format("GET", args[2])
   end
   position = tonumber(args[3]) % clients
end

function request()
   position = position % #requests + 1
   return requests[position]
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      "BENCH requests=%d duration_us=%d bytes=%d status=%d connect=%d read=%d write=%d timeout=%d wrong=0 p50_us=%d p99_us=%d\n",
      summary.requests, summary.duration, summary.bytes, errors.status, errors.connect, errors.read, errors.write,
      errors.timeout, latency:percentile(50), latency:percentile(99)))
end
