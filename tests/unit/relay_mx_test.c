/* Which mail servers a domain has, from answers given by hand (OUT-01, OUT-02). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "relay/mx.h"

struct hosts_case {
	const char *what;
	enum dns_status status;
	const char *records; /* "10 a.example, 20 b.example" */
	enum mx_verdict verdict;
	const char *hosts; /* "a.example b.example"; equal preferences in order of name */
	int code;
};

static const struct hosts_case hosts_cases[] = {
	{"by preference", DNS_OK, "20 b.example, 10 a.example, 30 c.example", MX_GOOD,
		"a.example b.example c.example", 0},
	{"implicit only on NODATA", DNS_NODATA, "", MX_GOOD, "dest.example", 0},
	{"no answer is not no MX", DNS_FAIL, "", MX_LATER, "", 451},
	{"forged is no answer", DNS_BOGUS, "", MX_LATER, "", 451},
	{"no such domain", DNS_NXDOMAIN, "", MX_NO_DOMAIN, "", 550},
	{"null MX", DNS_OK, "0 .", MX_NULL, "", 556},
	{"null MX beside others is passed over", DNS_OK, "0 ., 10 a.example", MX_GOOD,
		"a.example", 0},
	{"localhost is as null", DNS_OK, "10 localhost", MX_NULL, "", 556},
	{"an address is no name", DNS_OK, "10 192.0.2.1", MX_UNUSABLE, "", 550},
	{"an address beside a name", DNS_OK, "5 192.0.2.1, 10 a.example", MX_GOOD, "a.example",
		0},
	{"a final dot is none of the name", DNS_OK, "10 a.example.", MX_GOOD, "a.example", 0},
	{"one name twice", DNS_OK, "10 a.example, 20 A.example, 30 b.example", MX_GOOD,
		"a.example b.example", 0},
	{"we are the best", DNS_OK, "10 gate.example, 20 a.example", MX_LOOP, "", 554},
	{"we are second: only what is better", DNS_OK,
		"10 a.example, 20 GATE.example, 20 b.example, 30 c.example", MX_GOOD,
		"a.example", 0},
	{"ten at most, the best", DNS_OK,
		"12 l.x, 11 k.x, 10 j.x, 9 i.x, 8 h.x, 7 g.x, 6 f.x, 5 e.x, 4 d.x, 3 c.x, 2 "
		"b.x, 1 a.x",
		MX_GOOD, "a.x b.x c.x d.x e.x f.x g.x h.x i.x j.x", 0},
};

static struct dns_answer
answer_of(struct arena *a, enum dns_status status, const char *text)
{
	struct dns_answer answer = {
		.status = status, .rr = arena_array(a, 32, sizeof(struct dns_rr))};
	struct slice rest = slice_of(text), one, number;
	while (rest.n > 0) {
		uint64_t preference;
		slice_cut(rest, ',', &one, &rest);
		struct dns_rr *rr = &answer.rr[answer.n++];
		slice_cut(slice_trim(one), ' ', &number, &rr->text);
		assert_true(slice_u64(number, &preference));
		rr->preference = (uint16_t)preference;
	}
	return answer;
}

static void
test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hosts_cases) / sizeof(hosts_cases[0]); i++) {
		const struct hosts_case *c = &hosts_cases[i];
		struct arena *a = arena_new(65536);
		struct dns_answer mx = answer_of(a, c->status, c->records);
		struct mx_list list;
		enum mx_verdict v = mx_hosts(
			SLICE("dest.example"), &mx, SLICE("gate.example"), 1, a, &list);
		struct slice got = SLICE_NONE;
		for (size_t k = 0; v == MX_GOOD && k < list.n; k++)
			got = arena_printf(a, "%.*s%s%.*s", SLICE_ARG(got), k > 0 ? " " : "",
				SLICE_ARG(list.hosts[k].name));
		if (v != c->verdict || !slice_eq(got, slice_of(c->hosts)))
			fail_msg("%s: verdict %d, %.*s", c->what, (int)v, SLICE_ARG(got));
		if (c->code != 0)
			assert_int_equal(mx_reply(v).code, c->code);
		arena_free(&a);
	}
}

/* Equal preferences share the load: each is first in a fair part of the runs. */
static void
test_random_within_equal(void **state)
{
	(void)state;
	enum { RUNS = 3000 };
	unsigned first[3] = {0};
	for (uint64_t seed = 0; seed < RUNS; seed++) {
		struct arena *a = arena_new(65536);
		struct dns_answer mx =
			answer_of(a, DNS_OK, "10 a.example, 10 b.example, 10 c.example");
		struct mx_list list;
		assert_int_equal(mx_hosts(SLICE("d.example"), &mx, SLICE("g.example"), seed * 7,
					 a, &list),
			MX_GOOD);
		assert_int_equal(list.n, 3);
		first[list.hosts[0].name.p[0] - 'a']++;
		arena_free(&a);
	}
	for (size_t i = 0; i < 3; i++)
		assert_in_range(first[i], RUNS / 4, RUNS / 2);
}

struct address_case {
	const char *what;
	const char *v4[3],
		*v6[3]; /* of each host: "192.0.2.1 192.0.2.2", "fail" or NULL: none */
	enum mx_verdict verdict;
	const char *order;
};

static const struct address_case address_cases[] = {
	{"the families in turn", {"192.0.2.1 192.0.2.2"}, {"2001:db8::1"}, MX_GOOD,
		"2001:db8::1 192.0.2.1 192.0.2.2"},
	{"hosts in order", {"192.0.2.1", "192.0.2.2"}, {NULL, "2001:db8::2"}, MX_GOOD,
		"192.0.2.1 2001:db8::2 192.0.2.2"},
	{"one address once", {"192.0.2.1", "192.0.2.1"}, {NULL}, MX_GOOD, "192.0.2.1"},
	{"one silent host does not stop the others", {"fail", "192.0.2.2"}, {NULL}, MX_GOOD,
		"192.0.2.2"},
	{"silent is later", {"fail"}, {NULL}, MX_LATER, ""},
	{"no address at all", {NULL}, {NULL}, MX_UNUSABLE, ""},
	{"ours is a loop", {"10.0.0.1"}, {NULL}, MX_LOOP, ""},
	{"ours by the other family", {"192.0.2.1"}, {"::1"}, MX_LOOP, ""},
	{"better than ours", {"192.0.2.1", "10.0.0.1", "192.0.2.3"}, {NULL}, MX_GOOD,
		"192.0.2.1"},
	{"four of a family of a host", {"192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5"},
		{NULL}, MX_GOOD, "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4"},
};

static struct dns_answer
addresses_of(struct arena *a, const char *text)
{
	struct dns_answer answer = {
		.status = DNS_NODATA, .rr = arena_array(a, 8, sizeof(struct dns_rr))};
	struct slice rest = slice_of(text), one;
	if (slice_eq(rest, SLICE("fail")))
		answer.status = DNS_FAIL;
	while (rest.n > 0 && answer.status != DNS_FAIL) {
		slice_cut(rest, ' ', &one, &rest);
		assert_true(ip_parse(one, &answer.rr[answer.n++].ip));
		answer.status = DNS_OK;
		if (rest.n == 0)
			break;
	}
	return answer;
}

static void
test_addresses(void **state)
{
	(void)state;
	struct ip_net own[2];
	assert_true(ip_net_parse(SLICE("10.0.0.0/8"), &own[0]));
	assert_true(ip_net_parse(SLICE("::1/128"), &own[1]));
	for (size_t i = 0; i < sizeof(address_cases) / sizeof(address_cases[0]); i++) {
		const struct address_case *c = &address_cases[i];
		struct arena *a = arena_new(65536);
		struct mx_list list = {.n = 3};
		struct mx_lookup lookups[3];
		for (size_t k = 0; k < 3; k++) {
			list.hosts[k] =
				(struct mx_host){SLICE("h.example"), (uint16_t)(10 * k)};
			lookups[k].v4 = addresses_of(a, c->v4[k]);
			lookups[k].v6 = addresses_of(a, c->v6[k]);
		}
		struct mx_addresses out;
		enum mx_verdict v = mx_addresses(&list, lookups, own, 2, &out);
		struct slice got = SLICE_NONE;
		for (size_t k = 0; v == MX_GOOD && k < out.n; k++) {
			char text[IP_TEXT_BYTES];
			got = arena_printf(a, "%.*s%s%.*s", SLICE_ARG(got), k > 0 ? " " : "",
				SLICE_ARG(ip_text(&out.at[k].ip, text)));
		}
		if (v != c->verdict || !slice_eq(got, slice_of(c->order)))
			fail_msg("%s: verdict %d, %.*s", c->what, (int)v, SLICE_ARG(got));
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_random_within_equal),
		cmocka_unit_test(test_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
