/* Addresses and networks: what is one, mapped ones as IPv4, host bits, names for the DNS. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/ip.h"
#include "feed.h"

static void
test_parse(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		const char *text, *literal, *arpa; /* NULL: no address */
	} rows[] = {
		{"192.0.2.1", "192.0.2.1", "[192.0.2.1]", "1.2.0.192.in-addr.arpa"},
		{"255.255.255.255", "255.255.255.255", "[255.255.255.255]",
			"255.255.255.255.in-addr.arpa"},
		{"2001:DB8:0:0::1", "2001:db8::1", "[IPv6:2001:db8::1]",
			"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6."
			"arpa"},
		{"::ffff:192.0.2.1", "192.0.2.1", "[192.0.2.1]", "1.2.0.192.in-addr.arpa"},
		{"::FFFF:c000:201", "192.0.2.1", "[192.0.2.1]", "1.2.0.192.in-addr.arpa"},
		{"::fffe:192.0.2.1", "::fffe:c000:201", "[IPv6:::fffe:c000:201]",
			"1.0.2.0.0.0.0.c.e.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6."
			"arpa"},
		{"::", "::", "[IPv6:::]",
			"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6."
			"arpa"},
		{"", NULL, NULL, NULL},
		{"192.0.2", NULL, NULL, NULL},
		{"192.0.2.256", NULL, NULL, NULL},
		{"192.0.2.1 ", NULL, NULL, NULL},
		{"192.0.2.01", NULL, NULL, NULL},
		{"0xc0000201", NULL, NULL, NULL},
		{"192.0.2.1.5", NULL, NULL, NULL},
		{"2001:db8::1::2", NULL, NULL, NULL},
		{"fe80::1%lo", NULL, NULL, NULL},
		{"[2001:db8::1]", NULL, NULL, NULL},
		{"1:2:3:4:5:6:7:8:9", NULL, NULL, NULL},
		{"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL, NULL, NULL},
	};
	struct arena *a = arena_new(1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guarded g = guarded_new(slice_of(rows[i].in));
		struct ip ip = {0};
		char text[IP_TEXT_BYTES];
		if (ip_parse(g.in, &ip) != (rows[i].text != NULL))
			fail_msg("%s", rows[i].in);
		guarded_free(&g);
		if (rows[i].text == NULL)
			continue;
		assert_true(slice_eq(ip_text(&ip, text), slice_of(rows[i].text)));
		assert_true(slice_eq(ip_literal(&ip, a), slice_of(rows[i].literal)));
		assert_true(slice_eq(ip_arpa(&ip, a), slice_of(rows[i].arpa)));
	}
	struct ip ip;
	assert_false(ip_parse((struct slice){"192.0.2.1\0", 10}, &ip));
	assert_true(ip_parse(SLICE("192.0.2.1"), &ip));
	assert_true(slice_eq(
		ip_reverse(&ip, SLICE("zen.example"), a), SLICE("1.2.0.192.zen.example")));
	arena_free(&a);
}

static void
test_nets(void **state)
{
	(void)state;
	static const struct {
		const char *net;
		bool good;
		const char *in, *out; /* an address inside, one outside */
	} rows[] = {
		{"10.0.0.0/8", true, "10.255.0.1", "11.0.0.0"},
		{"0.0.0.0/0", true, "203.0.113.9", "2001:db8::1"},
		{"192.0.2.1", true, "192.0.2.1", "192.0.2.0"},
		{"192.0.2.1/32", true, "::ffff:192.0.2.1", "192.0.2.3"},
		{"192.0.2.128/25", true, "192.0.2.255", "192.0.2.127"},
		{"192.0.2.4/31", true, "192.0.2.5", "192.0.2.6"},
		{"2001:db8::/32", true, "2001:db8:ffff::1", "2001:db9::"},
		{"2001:db8::/33", true, "2001:db8:7fff::1", "2001:db8:8000::"},
		{"2001:db8::1/128", true, "2001:db8::1", "2001:db8::2"},
		{"::/0", true, "2001:db8::1", "192.0.2.1"},
		{"10.0.0.1/8", false, NULL, NULL},
		{"192.0.2.129/25", false, NULL, NULL},
		{"2001:db8::1/127", false, NULL, NULL},
		{"10.0.0.0/33", false, NULL, NULL},
		{"2001:db8::/129", false, NULL, NULL},
		{"10.0.0.0/", false, NULL, NULL},
		{"10.0.0.0/-1", false, NULL, NULL},
		{"10.0.0.0/0008", false, NULL, NULL},
		{"10.0.0.0/8/8", false, NULL, NULL},
		{"/8", false, NULL, NULL},
		{"", false, NULL, NULL},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip_net net[2] = {{.ip = {.family = 6, .bytes = {0xfe}}, .prefix = 8}};
		struct ip in, out;
		if (ip_net_parse(slice_of(rows[i].net), &net[1]) != rows[i].good)
			fail_msg("%s", rows[i].net);
		if (!rows[i].good)
			continue;
		assert_true(ip_parse(slice_of(rows[i].in), &in) &&
			    ip_parse(slice_of(rows[i].out), &out));
		if (!ip_in_net(&in, &net[1]) || ip_in_net(&out, &net[1]) ||
			!ip_in_nets(&in, net, 2) || ip_in_nets(&in, net, 1) ||
			ip_in_nets(&in, net, 0))
			fail_msg("%s", rows[i].net);
	}
	/* a unix socket is in no network, not even in the one of all */
	struct ip none = {0};
	struct ip_net all = {.ip = {.family = 4}};
	assert_false(ip_in_net(&none, &all));
	all.ip.family = 0;
	assert_false(ip_in_net(&none, &all));
}

static void
test_kinds(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		bool loopback;
	} rows[] = {{"127.0.0.1", true}, {"127.255.0.9", true}, {"128.0.0.1", false},
		{"::1", true}, {"::2", false}, {"::ffff:127.0.0.1", true}, {"7f00::1", false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip ip;
		assert_true(ip_parse(slice_of(rows[i].in), &ip));
		assert_int_equal(ip_is_loopback(&ip), rows[i].loopback);
	}
	struct ip a, b, none = {0};
	assert_true(ip_parse(SLICE("1.2.3.4"), &a) && ip_parse(SLICE("102:304::"), &b));
	assert_false(ip_eq(&a, &b));
	assert_true(ip_parse(SLICE("::ffff:1.2.3.4"), &b));
	assert_true(ip_eq(&a, &b) && ip_eq(&none, &none));
	assert_false(ip_eq(&a, &none));
	assert_false(ip_is_loopback(&none));
	char text[IP_TEXT_BYTES];
	assert_true(slice_eq(ip_text(&none, text), SLICE("local")));
}

static void
test_sockaddr(void **state)
{
	(void)state;
	static const char *const rows[] = {"192.0.2.1", "2001:db8::25", "::ffff:192.0.2.7"};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip ip, back;
		struct sockaddr_storage sa;
		uint16_t port;
		assert_true(ip_parse(slice_of(rows[i]), &ip));
		socklen_t n = ip_to_sockaddr(&ip, 2525, &sa);
		assert_int_equal(n, ip.family == 6 ? sizeof(struct sockaddr_in6)
						   : sizeof(struct sockaddr_in));
		ip_from_sockaddr((const struct sockaddr *)&sa, &back, &port);
		assert_true(ip_eq(&ip, &back));
		assert_int_equal(port, 2525);
	}
	/* a dual-stack listener tells of an IPv4 client in IPv6 words */
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(25)};
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &mapped.sin6_addr), 1);
	struct ip ip;
	uint16_t port;
	char text[IP_TEXT_BYTES];
	ip_from_sockaddr((const struct sockaddr *)&mapped, &ip, &port);
	assert_true(slice_eq(ip_text(&ip, text), SLICE("192.0.2.7")));
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	ip_from_sockaddr((const struct sockaddr *)&un, &ip, &port);
	assert_int_equal(ip.family, 0);
	assert_int_equal(port, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_nets),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_sockaddr),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
