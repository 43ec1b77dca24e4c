-- SPDX-License-Identifier: BSD-3-Clause
-- Throughput in the manner of RFC 2544 26.1, on whatever sends and counts: a trial is a function of a rate that returns how
-- many packets were sent and how many came back. Rates are in any unit.

local search = {}

local function lost_share(result)
	if result.sent == 0 then
		return 1
	end
	return math.max(0, result.sent - result.received) / result.sent
end

-- The highest rate between limits.low and limits.high at which no more than limits.loss, a share, is lost, as close as
-- limits.step; 0 loss finds the no-drop rate (NDR), more a partial-drop rate (PDR). The rate that is found has to
-- pass a further trial, of limits.confirm_s seconds; where it does not, the search goes on below it with trials as long as that.
-- Returns nil if not even the lowest rate passes, else a table: rate, result (of the last trial), trials.
function search.throughput(trial, limits)
	local low, high, seconds, trials = limits.low, limits.high, limits.trial_s, 0
	local function passes(rate, duration)
		trials = trials + 1
		local result = trial(rate, duration)
		return lost_share(result) <= limits.loss, result
	end
	if passes(high, seconds) then
		low = high
	elseif not passes(low, seconds) then
		return nil
	end
	while true do
		while high - low > limits.step do
			local middle = (low + high) / 2
			if passes(middle, seconds) then
				low = middle
			else
				high = middle
			end
		end
		local confirmed, result = passes(low, limits.confirm_s)
		if confirmed then
			return { rate = low, result = result, trials = trials }
		elseif low <= limits.low then
			return nil
		end
		low, high, seconds = limits.low, low, limits.confirm_s
	end
end

-- Bytes of the IP packets, and how often each comes among twelve.
search.imix = { { 64, 7 }, { 570, 4 }, { 1400, 1 } }
search.sizes = { 64, 128, 256, 512, 1024, 1400 }

local function text_of(value)
	if type(value) == "string" then
		return '"' .. value:gsub('[%c"\\]', "?") .. '"'
	elseif type(value) == "table" then
		local parts = {}
		if #value > 0 then
			for i, item in ipairs(value) do
				parts[i] = text_of(item)
			end
			return "[" .. table.concat(parts, ",\n") .. "]"
		end
		for key, item in pairs(value) do
			parts[#parts + 1] = text_of(key) .. ": " .. text_of(item)
		end
		table.sort(parts)
		return "{" .. table.concat(parts, ", ") .. "}"
	end
	return tostring(value)
end

-- Writes the rows as JSON, in the form of the other benchmarks.
function search.write(path, head, rows)
	local file = assert(io.open(path, "w"))
	local parts = {}
	for key, value in pairs(head) do
		parts[#parts + 1] = text_of(key) .. ": " .. text_of(value)
	end
	table.sort(parts)
	parts[#parts + 1] = '"rows": [\n' .. (#rows > 0 and text_of(rows):sub(2, -2) or "") .. "]"
	file:write("{" .. table.concat(parts, ",\n") .. "}\n")
	file:close()
end

-- Runs the tests that the words of settings.tests name with a source, and returns the rows.
-- source.prepare(size) makes packets of a size, or the mix for "imix"; source.trial(rate, seconds) sends them;
-- source.limits(size) are the limits of rates; source.pps(result) the packets a second of a result.
function search.run(source, settings, say)
	local rows = {}
	local function add(row)
		rows[#rows + 1] = row
		say(string.format("%-12s %6s %-4s %12.0f packets/s %8.3f Gb/s %s", row.test, row.size, row.rate_kind or "",
			row.pps or 0, row.gbps or 0, row.failed and "FAILED" or row.note or ""))
	end
	local function find(test, size, kind, loss)
		source.prepare(size)
		local limits = source.limits(size)
		limits.loss, limits.trial_s, limits.confirm_s = loss, settings.trial_s, settings.confirm_s
		local found = search.throughput(source.trial, limits)
		local row = { test = test, size = tostring(size), rate_kind = kind, loss = loss, failed = found == nil }
		if found then
			row.rate, row.trials, row.pps = found.rate, found.trials, source.pps(found.result)
			row.sent, row.received = found.result.sent, found.result.received
			row.gbps = row.pps * search.mean_bytes(size) * 8 / 1e9
		end
		add(row)
		return found
	end
	for test in settings.tests:gmatch("%a+") do
		if test == "throughput" then
			for _, size in ipairs(settings.sizes) do
				find(test, size, "NDR", 0)
				find(test, size, "PDR", settings.pdr_loss)
			end
		elseif test == "imix" then
			find(test, "imix", "NDR", 0)
		elseif test == "latency" or test == "storm" then
			-- At half of what goes through without loss. In a storm keys change meanwhile.
			local size = settings.sizes[1]
			local found = test == "latency" and find(test, size, "NDR", 0)
			local rate = found and found.rate or settings.storm_rate or source.limits(size).low
			source.prepare(size)
			local result = source.trial(rate / 2, settings.confirm_s)
			local row = { test = test, size = tostring(size), rate = rate / 2, sent = result.sent, received = result.received }
			row.lost, row.failed = result.sent - result.received, result.sent == 0 or result.sent > result.received
			row.pps, row.gbps = source.pps(result), source.pps(result) * search.mean_bytes(size) * 8 / 1e9
			for key, value in pairs(result.latency or {}) do
				row[key] = value
			end
			row.note = string.format("lost %d%s", row.lost, row.median_us and
				string.format("; median %.1f us, 99.9 %% %.1f us", row.median_us, row.p999_us) or
				row.avg_us and string.format("; mean %.1f us", row.avg_us) or "")
			add(row)
		end
	end
	return rows
end

function search.mean_bytes(size)
	if size ~= "imix" then
		return size
	end
	local bytes, count = 0, 0
	for _, part in ipairs(search.imix) do
		bytes, count = bytes + part[1] * part[2], count + part[2]
	end
	return bytes / count
end

-- What the environment asks for.
function search.settings()
	local quick = os.getenv("TANDEM_BENCH_QUICK") == "1"
	local settings = {
		quick = quick,
		tests = os.getenv("TANDEM_BENCH_TESTS") or "throughput imix latency",
		trial_s = quick and 0.2 or 10,
		confirm_s = quick and 0.3 or 60,
		pdr_loss = tonumber(os.getenv("TANDEM_BENCH_PDR") or "0.001"),
		storm_rate = tonumber(os.getenv("TANDEM_BENCH_STORM_RATE") or ""),
		json = os.getenv("TANDEM_BENCH_JSON"),
		sizes = {},
	}
	for size in (os.getenv("TANDEM_BENCH_SIZES") or table.concat(quick and { 64 } or search.sizes, " ")):gmatch("%d+") do
		settings.sizes[#settings.sizes + 1] = tonumber(size)
	end
	return settings
end

return search
