-- Precedes each script. KEYS[1] says to which life of the server all keys of the
-- application belong. The others have the same prefix, and so the same slot.
local prefix = string.sub(KEYS[1], 1, -5)

-- era returns the name of the life of the server, which changes with a restart, a
-- promotion, and the loss of all keys: then messages may be lost. It returns fresh where
-- a new one begins, and nil if there is none yet and fresh is nil.
local function era(fresh)
	local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
		.. string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
	local known = redis.call('HMGET', KEYS[1], 'run', 'era')
	if known[1] == run then
		return known[2]
	end
	if fresh then
		redis.call('DEL', KEYS[1])
		redis.call('HSET', KEYS[1], 'run', run, 'era', fresh)
	end
	return fresh
end

-- position returns the epoch and the offset of a stream, '' and '0' if it does not exist.
local function position(stream, now)
	local m = redis.call('HMGET', prefix .. 'm:' .. stream, 'era', 'epoch', 'offset')
	if now and m[1] == now then
		return m[2], m[3]
	end
	return '', '0'
end
