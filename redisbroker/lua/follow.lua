-- Begins streams that do not exist, and returns the positions of all. ARGV: a name for a
-- new era, how long a stream goes on in ms, the streams.
local now = era(ARGV[1])
local positions = {}
for i = 3, #ARGV do
	local stream = ARGV[i]
	local epoch, offset = position(stream, now)
	if epoch == '' then
		epoch = now .. '.' .. redis.call('HINCRBY', KEYS[1], 'epochs', 1)
		redis.call('DEL', prefix .. 's:' .. stream, prefix .. 'm:' .. stream)
		redis.call('HSET', prefix .. 'm:' .. stream, 'era', now, 'epoch', epoch, 'offset', '0')
	end
	if tonumber(ARGV[2]) >= 0 then
		redis.call('PEXPIRE', prefix .. 'm:' .. stream, ARGV[2])
	end
	positions[#positions + 1] = epoch
	positions[#positions + 1] = offset
end
return positions
