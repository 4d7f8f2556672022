local stream, after, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local epoch, offset = position(stream)
if not epoch then return {} end
local found = {epoch, offset}
if limit > 0 then
  for _, entry in ipairs(redis.call('XRANGE', app .. ':m:' .. stream, '(' .. after .. '-0', '+', 'COUNT', limit)) do
    found[#found + 1] = tonumber(string.match(entry[1], '^%d+'))
    found[#found + 1] = entry[2][2]
  end
end
return found
