/*
 * Sets of networks: every answer is that of the plain walk over the networks, and a large set
 * is searched in few steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/ip_set.h"
#include "base/must.h"

enum { MANY = 100000, ROUNDS = 200, NETS_MOST = 60, STEPS_MOST = 17 };

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Few distinct bits, so that networks nest and addresses hit. */
static struct ip
some_ip(uint32_t *seed)
{
	struct ip ip = {.family = next_random(seed) % 2 == 0 ? 4 : 6};
	for (size_t i = 0; i < (ip.family == 4 ? 4u : 16u); i++)
		ip.bytes[i] = (uint8_t)(next_random(seed) % 3 * 0x55);
	return ip;
}

static struct ip_net
some_net(uint32_t *seed)
{
	struct ip_net net = {.ip = some_ip(seed)};
	unsigned bits = net.ip.family == 4 ? 32 : 128;
	net.prefix = (uint8_t)(next_random(seed) % (bits + 1));
	for (unsigned bit = net.prefix; bit < bits; bit++)
		net.ip.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	return net;
}

static void
test_as_the_walk(void **state)
{
	uint32_t seed = 20261129;
	unsigned in = 0, out = 0;
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct arena *a = arena_new(1 << 20);
		struct ip_net nets[NETS_MOST];
		size_t n = next_random(&seed) % NETS_MOST;
		for (size_t i = 0; i < n; i++) {
			nets[i] = some_net(&seed);
			if (nets[i].prefix < 6) /* else one of them has all */
				nets[i] = (struct ip_net){.ip = some_ip(&seed), .prefix = 32};
			if (nets[i].ip.family == 6 && nets[i].prefix == 32)
				memset(nets[i].ip.bytes + 4, 0, 12);
		}
		struct ip_set *set = ip_set_new(nets, n, a);
		for (unsigned k = 0; k < 200; k++) {
			struct ip ip = some_ip(&seed);
			bool want = ip_in_nets(&ip, nets, n);
			in += want;
			out += !want;
			if (ip_set_has(set, &ip, NULL) != want) {
				char text[IP_TEXT_BYTES];
				struct slice s = ip_text(&ip, text);
				fail_msg("round %u: %.*s", round, SLICE_ARG(s));
			}
		}
		arena_free(&a);
	}
	assert_true(in > 1000 && out > 1000);
}

static void
test_many(void **state)
{
	static struct ip_net nets[MANY];
	unsigned most = 0, found = 0;
	(void)state;
	for (size_t i = 0; i < MANY; i++) { /* every second /24 of 10.0.0.0 and on */
		nets[i].ip.family = 4;
		nets[i].prefix = 24;
		uint32_t address = 0x0a000000u + (uint32_t)((i * 7919) % MANY) * 512;
		for (unsigned b = 0; b < 3; b++)
			nets[i].ip.bytes[b] = (uint8_t)(address >> (24 - 8 * b));
	}
	struct arena *a = arena_new(64 << 20);
	struct ip_set *set = ip_set_new(nets, MANY, a);
	for (uint32_t i = 0; i < 2 * MANY; i++) {
		uint32_t address = 0x0a000000u + i * 256 + 77;
		struct ip ip = {.family = 4};
		unsigned steps;
		for (unsigned b = 0; b < 4; b++)
			ip.bytes[b] = (uint8_t)(address >> (24 - 8 * b));
		bool has = ip_set_has(set, &ip, &steps);
		assert_int_equal(has, i % 2 == 0);
		found += has;
		most = steps > most ? steps : most;
	}
	assert_int_equal(found, MANY);
	assert_in_range(most, 10, STEPS_MOST);
	arena_free(&a);
}

static void
test_edges(void **state)
{
	struct arena *a = arena_new(1 << 20);
	struct ip_net nets[3];
	struct ip local = {0}, four, six;
	(void)state;
	assert_true(ip_parse(SLICE("0.0.0.0"), &four) && ip_parse(SLICE("::"), &six));
	assert_false(ip_set_has(NULL, &four, NULL));
	assert_false(ip_set_has(ip_set_new(NULL, 0, a), &four, NULL));
	must(ip_net_parse(SLICE("::/0"), &nets[0]));
	must(ip_net_parse(SLICE("2001:db8::/32"), &nets[1]));
	must(ip_net_parse(SLICE("255.255.255.255"), &nets[2]));
	struct ip_set *set = ip_set_new(nets, 3, a);
	assert_true(ip_set_has(set, &six, NULL));
	assert_false(ip_set_has(set, &four, NULL));
	assert_false(ip_set_has(set, &local, NULL));
	assert_true(ip_parse(SLICE("255.255.255.255"), &four));
	assert_true(ip_set_has(set, &four, NULL));
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_walk),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_edges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
