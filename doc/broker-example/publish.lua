local keep, ttl = ARGV[1], ARGV[2]

local function pack(...)
  local packed = {}
  for _, field in ipairs({...}) do packed[#packed + 1] = struct.pack('>I4', #field) .. field end
  return table.concat(packed)
end

-- append appends a message, and returns it packed; nothing if nobody has followed the stream.
local function append(stream, payload)
  local epoch = position(stream)
  if not epoch then return '' end
  local head, kept = app .. ':s:' .. stream, app .. ':m:' .. stream
  local offset = string.format('%d', redis.call('HINCRBY', head, 'offset', 1))
  redis.call('XADD', kept, 'MAXLEN', '~', keep, offset .. '-0', 'p', payload)
  redis.call('EXPIRE', head, ttl)
  redis.call('EXPIRE', kept, ttl)
  return pack(stream, epoch, offset, payload)
end

local i = 3
while i < #ARGV do
  local source, number, count = app .. ':n:' .. ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  i = i + 3
  if number > (redis.call('GET', source) or '') then
    redis.call('SET', source, number, 'EX', 7200)
    local batch = {}
    for j = i, i + 2 * count - 2, 2 do batch[#batch + 1] = append(ARGV[j], ARGV[j + 1]) end
    batch = table.concat(batch)
    if batch ~= '' then redis.call('PUBLISH', app .. ':all', batch) end
  end
  i = i + 2 * count
end
return {}
