/*
 * Packets of the milter protocol, well and badly formed (MLT-01): what the client's address may
 * look like, what ends the session as no milter protocol, and every bound at its edge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "milter/server.h"
#include "milter_script.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))
#define OFFER    "O6 1ff 1fffff\n"

enum { KIB = 1024, MIB = 1024 * 1024, SCRIPT_BYTES = 4 * MIB };

struct end {
	enum milter_event_type last;
	size_t bads;
	const char *why;
	char client[128]; /* of CONNECT: name, address, port */
};

static void
print_client(const struct milter_event *ev, char *out, size_t bytes)
{
	char text[IP_TEXT_BYTES];
	struct slice ip = ev->ip.family != 0 ? ip_text(&ev->ip, text) : SLICE("-");
	snprintf(out, bytes, "%.*s %.*s %u", SLICE_ARG(ev->name), SLICE_ARG(ip), ev->port);
}

/* Feeds all of it, CONTINUE to everything: how it ends. */
static struct end
feed_all(struct milter_server *s, struct slice in)
{
	struct end end = {0};
	struct milter_event ev;
	struct milter_answer go_on = {.verdict = MILTER_CONTINUE};
	struct milter_wants w = {.steps = MILTER_DATA_256K | MILTER_DATA_1M};
	struct milter_offer agreed;
	size_t taken = 1;
	while (in.n > 0 && taken > 0) {
		taken = milter_server_feed(s, in);
		in = slice_from(in, taken);
		while (milter_server_event(s, &ev)) {
			end.last = ev.type;
			end.bads += ev.type == MILTER_EV_BAD;
			end.why = ev.why;
			if (ev.type == MILTER_EV_CONNECT)
				print_client(&ev, end.client, sizeof(end.client));
			if (ev.type == MILTER_EV_NEGOTIATE)
				assert_true(milter_server_negotiate(s, &w, &agreed));
			else if (milter_server_owes(s))
				milter_server_answer(s, &go_on);
		}
		milter_server_written(s, milter_server_output(s).n);
	}
	return end;
}

/* ---- the client ---- */

static const struct {
	const char *packet, *seen;
} clients[] = {
	{"Ca~4\x04\xd2"
	 "192.0.2.1~",
		"a 192.0.2.1 1234"},
	{"Ca~4\xff\xff"
	 "0.0.0.0~",
		"a 0.0.0.0 65535"},
	{"C~4~~192.0.2.1~", " 192.0.2.1 0"},
	{"Ca~6\x04\xd2"
	 "2001:db8::1~",
		"a 2001:db8::1 1234"},
	{"Ca~6\x04\xd2"
	 "IPv6:2001:db8::1~",
		"a 2001:db8::1 1234"},
	{"Ca~6\x04\xd2"
	 "ipv6:2001:db8::1~",
		"a 2001:db8::1 1234"},
	{"Ca~6\x04\xd2"
	 "::ffff:192.0.2.1~",
		"a 192.0.2.1 1234"},
	{"Ca~4\x04\xd2"
	 "::ffff:192.0.2.1~",
		"a 192.0.2.1 1234"},
	/* not known, and no fault of the protocol */
	{"Ca~4\x04\xd2"
	 "192.0.2.256~",
		"a - 0"},
	{"Ca~4\x04\xd2"
	 "2001:db8::1~",
		"a - 0"},
	{"Ca~4\x04\xd2"
	 "~",
		"a - 0"},
	{"Ca~6\x04\xd2"
	 "192.0.2.1~",
		"a - 0"},
	{"Ca~6\x04\xd2"
	 "IPv6:192.0.2.1~",
		"a - 0"},
	{"Ca~L~~/run/smtp~", "a - 0"},
	{"Ca~U", "a - 0"},
	{"Ca~U~~~", "a - 0"},
	/* no packet of the protocol */
	{"C", NULL},
	{"Ca", NULL},
	{"Ca~", NULL},
	{"Ca~5\x04\xd2"
	 "192.0.2.1~",
		NULL},
	{"Ca~4", NULL},
	{"Ca~4\x04", NULL},
	{"Ca~4\x04\xd2", NULL},
	{"Ca~4\x04\xd2"
	 "192.0.2.1",
		NULL},
	{"Ca~4\x04\xd2"
	 "192.0.2.1~x",
		NULL},
	{"Ca~4\x04\xd2"
	 "192.0.2.1~~",
		NULL},
	{"Ca~U~", NULL},
	{"Ca~U~~x", NULL},
};

static void
test_clients(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(clients); i++) {
		struct milter_server *s = milter_server_new();
		struct buf in;
		buf_init(&in, SCRIPT_BYTES);
		milter_script_add(&in, OFFER);
		milter_script_add(&in, clients[i].packet);
		struct end end = feed_all(s, buf_slice(&in));
		bool good = clients[i].seen != NULL;
		assert_int_equal(end.last, good ? MILTER_EV_CONNECT : MILTER_EV_BAD);
		if (good && strcmp(end.client, clients[i].seen) != 0)
			fail_msg("%s: %s", clients[i].packet, end.client);
		buf_fini(&in);
		milter_server_free(&s);
	}
}

/* ---- what is no milter protocol ---- */

static const struct {
	const char *before, *packet; /* before: all of it is right */
} wrong[] = {
	/* before the negotiation */
	{"", "Q\n"},
	{"", "A\n"},
	{"", "Ca~U\n"},
	{"", "DCj~1~\n"},
	{"", "M<>~\n"},
	{"", "X\n"},
	/* no command */
	{OFFER, "X\n"},
	{OFFER, "~\n"},
	{OFFER, "c\n"},
	{OFFER, "y550 no~\n"},
	/* insides */
	{OFFER, "H\n"},
	{OFFER, "Ha\n"},
	{OFFER, "Ha~b\n"},
	{OFFER, "Ha~b~\n"},
	{OFFER, "Ua\n"},
	{OFFER, "Ua~~\n"},
	{OFFER, "M\n"},
	{OFFER, "M~\n"},
	{OFFER, "M~SIZE=1~\n"},
	{OFFER, "M<>\n"},
	{OFFER, "M<>~SIZE=1\n"},
	{OFFER "M<>~\n", "R\n"},
	{OFFER "M<>~\n", "R~\n"},
	{OFFER "M<>~\n", "R<a@b>\n"},
	{OFFER "M<>~\n", "Tx\n"},
	{OFFER "M<>~\n", "L\n"},
	{OFFER "M<>~\n", "LA\n"},
	{OFFER "M<>~\n", "LA~\n"},
	{OFFER "M<>~\n", "LA~b\n"},
	{OFFER "M<>~\n", "LA~b~~\n"},
	{OFFER "M<>~\n", "LA~b~c\n"},
	{OFFER "M<>~\n", "L~b~\n"},
	{OFFER "M<>~\n", "N~\n"},
	{OFFER, "A~\n"},
	{OFFER, "K~\n"},
	{OFFER, "Q~\n"},
	/* macros */
	{OFFER, "D\n"},
	{OFFER, "DXi~1~\n"},
	{OFFER, "DAi~1~\n"},
	{OFFER, "DOi~1~\n"},
	{OFFER, "DDi~1~\n"},
	{OFFER, "DQi~1~\n"},
	{OFFER, "DCi\n"},
	{OFFER, "DCi~\n"},
	{OFFER, "DCi~1\n"},
	{OFFER, "DCi~1~j~\n"},
	{OFFER, "DC~1~\n"},
	{OFFER, "DC{}~1~\n"},
	/* order */
	{OFFER, "R<a@b>~\n"},
	{OFFER, "T\n"},
	{OFFER, "LA~b~\n"},
	{OFFER, "N\n"},
	{OFFER, "Bx\n"},
	{OFFER, "E\n"},
	{OFFER "Ca~U\n", "Ca~U\n"},
	{OFFER "Ha~\n", "Ca~U\n"},
	{OFFER "Ux~\n", "Ca~U\n"},
	{OFFER "M<>~\n", "Ca~U\n"},
	{OFFER "M<>~\nA\n", "R<a@b>~\n"},
	{OFFER "M<>~\nA\n", "Ca~U\n"},
	{OFFER "M<>~\nE\n", "R<a@b>~\n"},
	{OFFER "M<>~\nE\n", "E\n"},
	{OFFER "M<>~\nEx\n", "Ex\n"},
	{OFFER "M<>~\nLA~b~\n", "R<a@b>~\n"},
	{OFFER "M<>~\nLA~b~\n", "T\n"},
	{OFFER "M<>~\nN\n", "LA~b~\n"},
	{OFFER "M<>~\nN\n", "N\n"},
	{OFFER "M<>~\nN\n", "T\n"},
	{OFFER "M<>~\nBx\n", "LA~b~\n"},
	{OFFER "M<>~\nBx\n", "N\n"},
	{OFFER "M<>~\nBx\n", "R<a@b>~\n"},
	{OFFER "M<>~\nK\n", "R<a@b>~\n"},
};

static void
test_wrong_packets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(wrong); i++) {
		struct milter_server *s = milter_server_new();
		struct buf in;
		buf_init(&in, 4096);
		milter_script_add(&in, wrong[i].before);
		struct end end = feed_all(s, buf_slice(&in));
		if (end.bads > 0)
			fail_msg("before %zu: %s", i, end.why);
		buf_clear(&in);
		milter_script_add(&in, wrong[i].packet);
		milter_script_add(&in, "Q\n");
		end = feed_all(s, buf_slice(&in));
		if (end.bads != 1 || end.last != MILTER_EV_BAD || end.why == NULL)
			fail_msg("taken: %s%s", wrong[i].before, wrong[i].packet);
		struct milter_event ev;
		assert_int_equal(milter_server_feed(s, SLICE("\0\0\0\1Q")), 0);
		assert_false(milter_server_event(s, &ev));
		buf_fini(&in);
		milter_server_free(&s);
	}
}

/* ---- bounds ---- */

static void
expect_end(struct slice packets, const char *offer, bool good, const char *what)
{
	struct milter_server *s = milter_server_new();
	struct buf in;
	buf_init(&in, SCRIPT_BYTES);
	if (offer != NULL) {
		milter_script_add(&in, offer);
		milter_script_add(&in, "M<>~\n");
	}
	must(buf_add(&in, packets) == 0);
	struct end end = feed_all(s, buf_slice(&in));
	if ((end.bads == 0) != good)
		fail_msg("%s: %s", what, good ? end.why : "taken");
	buf_fini(&in);
	milter_server_free(&s);
}

static void
expect_packet(char command, size_t data_bytes, char fill, const char *offer, bool good)
{
	struct buf data, packets;
	buf_init(&data, SCRIPT_BYTES);
	buf_init(&packets, SCRIPT_BYTES);
	memset(buf_reserve(&data, data_bytes + 1), fill, data_bytes);
	buf_commit(&data, data_bytes);
	milter_script_packet(&packets, command, buf_slice(&data));
	expect_end(buf_slice(&packets), offer, good, "the bytes of a packet");
	buf_fini(&data);
	buf_fini(&packets);
}

static void
test_packet_bounds(void **state)
{
	(void)state;
	expect_packet('B', 0, 'x', OFFER, true);
	expect_packet('B', 128 * KIB, 'x', OFFER, true);
	expect_packet('B', 128 * KIB + 1, 'x', OFFER, false);
	expect_packet('B', 256 * KIB, 'x', "O6 1ff 10000000\n", true);
	expect_packet('B', 256 * KIB + 1, 'x', "O6 1ff 10000000\n", false);
	expect_packet('E', MIB, 'x', "O6 1ff 30000000\n", true);
	expect_packet('E', MIB + 1, 'x', "O6 1ff 30000000\n", false);
	/* the length alone is enough to know, and a packet has a command */
	expect_end(SLICE("\0\2\0\2"), OFFER, false, "length");
	expect_end(SLICE("\xff\xff\xff\xff"), OFFER, false, "length");
	expect_end(SLICE("\0\0\0\0"), OFFER, false, "no command");
	expect_end(SLICE("\0\2\0\1"), OFFER, true, "length");
	/* the negotiation: from 12 bytes on, and not with more than a packet has */
	expect_packet('O', 11, '\2', NULL, false);
	expect_packet('O', 12, '\2', NULL, true);
	expect_packet('O', 13, '\2', NULL, true);
	expect_packet('O', 128 * KIB, '\2', NULL, true);
	expect_packet('O', 128 * KIB + 1, '\2', NULL, false);
}

static void
expect_strings(char command, const char *head, size_t n, const char *string, bool good)
{
	struct buf data, packets;
	buf_init(&data, SCRIPT_BYTES);
	buf_init(&packets, SCRIPT_BYTES);
	buf_add_text(&data, head);
	for (size_t i = 0; i < n; i++)
		must(buf_add_text(&data, string) == 0 && buf_add_byte(&data, '\0') == 0);
	milter_script_packet(&packets, command, buf_slice(&data));
	expect_end(buf_slice(&packets), OFFER, good, head);
	buf_fini(&data);
	buf_fini(&packets);
}

static void
test_string_bounds(void **state)
{
	(void)state;
	static char value[16 * KIB];
	expect_strings('M', "", MILTER_ARGS_MOST, "<>", true);
	expect_strings('M', "", MILTER_ARGS_MOST + 1, "<>", false);
	expect_strings('R', "", MILTER_ARGS_MOST, "<a@b>", true);
	expect_strings('R', "", MILTER_ARGS_MOST + 1, "<a@b>", false);
	expect_strings('D', "R", 2 * MILTER_MACROS_MOST, "i", true);
	expect_strings('D', "R", 2 * MILTER_MACROS_MOST + 2, "i", false);
	/* 16 KiB of macros: the name, the value and two NULs */
	memset(value, 'x', sizeof(value) - 1);
	value[16 * KIB / 2 - 1] = '\0';
	expect_strings('D', "R", 2, value, true);
	expect_strings('D', "Rx", 2, value, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_wrong_packets),
		cmocka_unit_test(test_packet_bounds),
		cmocka_unit_test(test_string_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
