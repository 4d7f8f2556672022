-- With an epoch, streams that do not exist begin.
local ttl, fresh, found = ARGV[1], ARGV[2], {}
for i = 3, #ARGV do
  local stream = ARGV[i]
  local head, kept = app .. ':s:' .. stream, app .. ':m:' .. stream
  local epoch, offset = position(stream)
  if not epoch and fresh ~= '' then
    epoch, offset = fresh .. i, 0
    redis.call('DEL', kept)
    redis.call('HSET', head, 'run', run, 'epoch', epoch, 'offset', 0)
  end
  if epoch then
    redis.call('EXPIRE', head, ttl)
    redis.call('EXPIRE', kept, ttl)
  end
  found[#found + 1] = epoch or ''
  found[#found + 1] = offset or 0
end
return found
