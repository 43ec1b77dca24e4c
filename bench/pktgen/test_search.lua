-- SPDX-License-Identifier: BSD-3-Clause
-- The searches on a gateway that is a formula, and Pktgen's adapter on a stub of its API.

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = folder .. "/?.lua;" .. package.path
local search = require "search"

local function gateway(capacity, flaky)
	local calls = 0
	return function(rate, seconds)
		calls = calls + 1
		local sent = math.floor(rate * seconds * 1000)
		local through = math.min(sent, math.floor(capacity * seconds * 1000))
		-- One that holds for a short trial only.
		if flaky and seconds > 5 and rate > flaky then
			through = sent - 1
		end
		return { sent = sent, received = through, seconds = seconds }
	end
end

local cases = {
	-- capacity, loss, low, high, flaky, expected
	{ 37.3, 0, 1, 100, nil, 37.3 },
	{ 37.3, 0.1, 1, 100, nil, 37.3 / 0.9 },
	{ 250, 0, 1, 100, nil, 100 },
	{ 0.5, 0, 1, 100, nil, nil },
	{ 60, 0, 1, 100, 55, 55 },
	{ 60, 0, 1, 100, 2, 2 },
}
for number, case in ipairs(cases) do
	local found = search.throughput(gateway(case[1], case[5]),
		{ loss = case[2], low = case[3], high = case[4], step = 0.1, trial_s = 1, confirm_s = 6 })
	local rate, expected = found and found.rate, case[6]
	assert((rate == nil) == (expected == nil), "case " .. number .. ": " .. tostring(rate))
	assert(not rate or math.abs(rate - expected) <= 0.11, "case " .. number .. ": " .. tostring(rate))
	assert(not found or found.trials < 60, "case " .. number .. ": " .. tostring(found and found.trials) .. " trials")
end

-- Pktgen at 10 Gb/s before a gateway of 3 million packets a second.
local state = { size = 0, rate = 0, seq = 0, milliseconds = 0, running = false }
local stub = {}
for _, name in ipairs { "set_ipaddr", "set_mac", "set_type", "set_proto", "latency" } do
	stub[name] = function(port) assert(port == "0") end
end
function stub.set(port, what, value)
	assert(port == "0")
	if what == "size" then state.size = value
	elseif what == "rate" then state.rate = value
	elseif what == "seq_cnt" then state.seq = value
	else assert(what == "count" and value == 0) end
end
function stub.seqTable(slot, port, packet)
	assert(port == "0" and slot < 16, "Pktgen has 16 places in a sequence")
	assert(packet.pktSize >= 64 and packet.ethType == "ipv4")
end
function stub.clr() state.milliseconds = 0 end
function stub.start() state.running = true end
function stub.stop() state.running = false end
function stub.delay(milliseconds)
	assert(math.type(milliseconds) == "integer")
	if state.running then state.milliseconds = state.milliseconds + milliseconds end
end
function stub.portStats(port)
	local bytes = state.seq > 0 and search.mean_bytes("imix") + 18 or state.size
	local pps = 10e9 * state.rate / 100 / ((bytes + 20) * 8)
	local count = port == "0" and pps or math.min(pps, 3e6)
	count = math.floor(count * state.milliseconds / 1000)
	return { [tonumber(port)] = { opackets = count, ipackets = count } }
end
function stub.pktStats(port) return { [tonumber(port)] = { latency = { num_pkts = 5, avg_us = 12.5 } } } end

local settings = { tests = "throughput imix latency storm", trial_s = 1, confirm_s = 2, pdr_loss = 0.01, sizes = { 64, 1400 } }
local rows = search.run(require "pktgen-source"(stub), settings, function() end)
assert(#rows == 8, #rows)
for _, row in ipairs(rows) do
	local most = row.size == "64" and 3e6 or row.size == "imix" and 3e6 or 10e9 / ((1400 + 38) * 8)
	assert(not row.failed and row.pps <= most * 1.001, row.test .. " " .. row.size .. " " .. tostring(row.pps))
	if row.rate_kind == "NDR" then
		assert(row.pps > most * 0.98, row.test .. " " .. row.size .. " " .. row.pps)
	end
end
assert(rows[7].avg_us == 12.5)
local path = os.tmpname()
search.write(path, { benchmark = "pktgen", quick = true }, rows)
local text = io.open(path):read("a")
os.remove(path)
assert(text:match('"benchmark": "pktgen"') and text:match('"rows": %[\n{') and select(2, text:gsub("%b{}", "")) == 1)
print("search: all passed")
