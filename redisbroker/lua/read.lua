-- Returns the position of a stream and messages after an offset. ARGV: the stream, where
-- its range begins, the number of messages at most.
local epoch, offset = position(ARGV[1], era())
if epoch == '' or tonumber(ARGV[3]) <= 0 then
	return { epoch, offset, {} }
end
return { epoch, offset, redis.call('XRANGE', prefix .. 's:' .. ARGV[1], ARGV[2], '+', 'COUNT', ARGV[3]) }
