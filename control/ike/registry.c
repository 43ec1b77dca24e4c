// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/registry.h"

const char *td_ike_notify_name(uint16_t type)
{
	switch (type) {
#define NOTIFY_NAME(name, number)                                                                            \
	case number:                                                                                         \
		return #name;
		TD_IKE_NOTIFIES(NOTIFY_NAME)
#undef NOTIFY_NAME
	default:
		return "notify";
	}
}

const char *td_ike_exchange_name(uint8_t exchange)
{
	switch (exchange) {
	case TD_IKE_SA_INIT:
		return "IKE_SA_INIT";
	case TD_IKE_AUTH:
		return "IKE_AUTH";
	case TD_IKE_CREATE_CHILD_SA:
		return "CREATE_CHILD_SA";
	case TD_IKE_INFORMATIONAL:
		return "INFORMATIONAL";
	case TD_IKE_ONE_ROUND_TRIP:
		return "ONE_ROUND_TRIP";
	default:
		return "exchange";
	}
}
