local app = KEYS[1]
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')

-- position returns the epoch and the offset of a stream, or nil.
local function position(stream)
  local found = redis.call('HMGET', app .. ':s:' .. stream, 'run', 'epoch', 'offset')
  if found[1] ~= run then return nil end
  return found[2], tonumber(found[3])
end
