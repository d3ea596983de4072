-- wrk's side of bench/load.py. Arguments: a directory, "measure" or "check", the size of a body.
--
-- The directory contains files written by Python: requests.txt (one request target per line), headers.txt (name: value),
-- prefix.bin and suffix.bin (the text before and after the prompt in each body).
-- Request strings are built once, in init(); while measuring, request() does one table lookup, and there is no
-- response(), whose mere existence makes wrk copy every header into Lua.

local threads = {}
local requests, position = {}, 0

bad, first_bad = 0, ""

local function read(name)
   local file = assert(io.open(name, "rb"))
   local text = file:read("*a")
   file:close()
   return text
end

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   local directory, mode = args[1], args[2]
   for name, value in read(directory .. "/headers.txt"):gmatch("([^\n:]+): ([^\n]+)") do
      wrk.headers[name] = value
   end
   for target in io.lines(directory .. "/requests.txt") do
      requests[#requests + 1] = wrk.format("GET", target)
   end
   if mode == "check" then
      check_every_answer(read(directory .. "/prefix.bin"), read(directory .. "/suffix.bin"), tonumber(args[3]))
   end
end

function request()
   position = position % #requests + 1
   return requests[position]
end

-- All prompts have one length; verify.py checks their values, because wrk does not show to which request an answer
-- belongs.
function check_every_answer(prefix, suffix, size)
   response = function(status, headers, body)
      local right = status == 200
         and body:sub(1, #prefix) == prefix
         and body:sub(-#suffix) == suffix
         and body:sub(#prefix + 1, #body - #suffix):match("^[%w-]+$") ~= nil
         and #body == size
      if not right then
         bad = bad + 1
         if first_bad == "" then
            first_bad = status .. " " .. body:sub(1, 200)
         end
      end
   end
end

function done(summary, latency, _)
   local wrong, example = 0, ""
   for _, thread in ipairs(threads) do
      wrong = wrong + thread:get("bad")
      if example == "" then
         example = thread:get("first_bad")
      end
   end
   local errors = summary.errors
   io.write(string.format(
      "BENCH requests=%d duration_us=%d bytes=%d status=%d connect=%d read=%d write=%d timeout=%d wrong=%d p50_us=%d p99_us=%d\n",
      summary.requests, summary.duration, summary.bytes, errors.status, errors.connect, errors.read, errors.write,
      errors.timeout, wrong, latency:percentile(50), latency:percentile(99)))
   if example ~= "" then
      io.write("WRONG " .. example:gsub("%c", " ") .. "\n")
   end
end
