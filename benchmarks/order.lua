-- wrk: every request is another customer's, with a key of its own. Arguments: tokens file, prices file, key prefix,
-- Prefer header or "-". One thread (-t1), so that the counter is one.

local requests, bodies, prefix, n = {}, {}, "", 0

local function lines(path)
  local found = {}
  for line in io.lines(path) do found[#found + 1] = line end
  return found
end

function init(args)
  local tokens, prices = lines(args[1]), lines(args[2])
  prefix = args[3]
  local prefer = args[4] ~= "-" and ("Prefer: " .. args[4] .. "\r\n") or ""
  for i, token in ipairs(tokens) do
    requests[i] = "POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" .. prefer
      .. "Authorization: Bearer " .. token .. "\r\nIdempotency-Key: \"" .. prefix
  end
  for i, price in ipairs(prices) do
    local body = '{"price_id":"' .. price .. '","return_url":"http://cinema.test/thanks"}'
    bodies[i] = '"\r\nContent-Length: ' .. #body .. "\r\n\r\n" .. body
  end
end

function request()
  n = n + 1
  return requests[n % #requests + 1] .. n .. bodies[n % #bodies + 1]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
