-- SPDX-License-Identifier: BSD-3-Clause
-- Pktgen-DPDK 23.03 or newer as source and counter. Port 0 sends to the gateway's inside, port 1 gets what leaves it (for
-- latency, what a second gateway has opened again: Pktgen's time stamp must come back as it was).

local search = require "search"

return function(pktgen)
	local source = {}
	local send, receive = os.getenv("TANDEM_BENCH_SEND") or "0", os.getenv("TANDEM_BENCH_RECEIVE") or "1"
	-- An IP packet has the Ethernet header before and the checksum behind it.
	local FRAME = 18

	local function addresses()
		pktgen.set_ipaddr(send, "dst", os.getenv("TANDEM_BENCH_DST") or "10.2.0.1")
		pktgen.set_ipaddr(send, "src", (os.getenv("TANDEM_BENCH_SRC") or "10.1.0.1") .. "/24")
		pktgen.set_mac(send, "dst", os.getenv("TANDEM_BENCH_MAC") or "02:00:00:00:00:01")
		pktgen.set_type(send, "ipv4")
		pktgen.set_proto(send, "udp")
		pktgen.set(send, "count", 0)
	end

	local function mix()
		local slot = 0
		for _, part in ipairs(search.imix) do
			for _ = 1, part[2] do
				pktgen.seqTable(slot, send, {
					eth_dst_addr = os.getenv("TANDEM_BENCH_MAC") or "02:00:00:00:00:01",
					eth_src_addr = "02:00:00:00:01:02",
					ip_dst_addr = os.getenv("TANDEM_BENCH_DST") or "10.2.0.1",
					ip_src_addr = (os.getenv("TANDEM_BENCH_SRC") or "10.1.0.1") .. "/24",
					sport = 1024, dport = 1025, ethType = "ipv4", ipProto = "udp", vlanid = 1,
					pktSize = part[1] + FRAME, teid = 0, cos = 0, tos = 0,
				})
				slot = slot + 1
			end
		end
		pktgen.set(send, "seq_cnt", slot)
	end

	function source.prepare(size)
		addresses()
		if size == "imix" then
			mix()
		else
			pktgen.set(send, "seq_cnt", 0)
			pktgen.set(send, "size", size + FRAME)
		end
	end

	function source.limits()
		return { low = 0.1, high = 100, step = 0.1 } -- percent of the link
	end

	function source.trial(rate, seconds)
		pktgen.clr()
		pktgen.set(send, "rate", rate)
		pktgen.latency(send, "enable")
		pktgen.start(send)
		pktgen.delay(math.floor(seconds * 1000))
		pktgen.stop(send)
		-- RFC 2544 23: two seconds for what is on the way.
		pktgen.delay(2000)
		local out = pktgen.portStats(send, "port")[tonumber(send)]
		local back = pktgen.portStats(receive, "port")[tonumber(receive)]
		local latency = pktgen.pktStats(receive)[tonumber(receive)].latency
		pktgen.latency(send, "disable")
		return {
			sent = out.opackets, received = back.ipackets, seconds = seconds,
			latency = latency and latency.num_pkts > 0 and { avg_us = latency.avg_us } or nil,
		}
	end

	function source.pps(result)
		return result.received / result.seconds
	end

	return source
end
