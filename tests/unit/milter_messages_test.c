/*
 * Events and answers between a session process and the process of libmilter: what is packed
 * comes out again, cut or grown it is refused, and so is what neither side can mean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "feed.h"
#include "milter/messages.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

enum { ARENA_BYTES = 256 * 1024 };

/* Unpacks and packs again into out; false: refused. */
typedef bool again_fn(struct slice payload, struct arena *a, struct ipc_out *out);

static bool
event_again(struct slice payload, struct arena *a, struct ipc_out *out)
{
	struct milter_event ev;
	if (!milter_event_unpack(payload, a, &ev))
		return false;
	milter_event_pack(&ev, out);
	return true;
}

static bool
answer_again(struct slice payload, struct arena *a, struct ipc_out *out)
{
	struct milter_answer answer;
	if (!milter_answer_unpack(payload, a, &answer))
		return false;
	milter_answer_pack(&answer, out);
	return true;
}

static bool
wants_again(struct slice payload, struct arena *a, struct ipc_out *out)
{
	struct milter_wants w;
	(void)a;
	if (!milter_wants_unpack(payload, &w))
		return false;
	milter_wants_pack(&w, out);
	return true;
}

/* As it is it comes back the same; each truncation, and one byte more, is refused. */
static void
check_payload(struct ipc_out *packed, again_fn *again, bool good, const char *what)
{
	struct arena *a = arena_new(ARENA_BYTES);
	struct ipc_out out;
	struct slice payload, same;
	assert_true(ipc_out_ok(packed, &payload));
	struct guarded g = guarded_new(payload);
	ipc_out_init(&out);
	if (again(g.in, a, &out) != good)
		fail_msg("%s: %s", what, good ? "refused" : "taken");
	if (good && !(ipc_out_ok(&out, &same) && slice_eq(payload, same)))
		fail_msg("%s: is not the same again", what);
	ipc_out_fini(&out);
	guarded_free(&g);
	for (size_t n = 0; n < payload.n; n++) {
		g = guarded_new(slice_first(payload, n));
		arena_reset(a);
		ipc_out_init(&out);
		if (again(g.in, a, &out))
			fail_msg("%s: taken when cut at %zu", what, n);
		ipc_out_fini(&out);
		guarded_free(&g);
	}
	ipc_put_u8(packed, 0);
	assert_true(ipc_out_ok(packed, &payload));
	ipc_out_init(&out);
	arena_reset(a);
	assert_false(again(payload, a, &out));
	ipc_out_fini(&out);
	arena_free(&a);
}

#define S(literal)                           \
	{                                    \
		literal, sizeof(literal) - 1 \
	}
static const struct milter_macro macros[] = {{S("i"), S("4XyZ")}, {S("auth_authen"), S("")}};
static const struct slice args[] = {S("<a@example.org>"), S("SIZE=10"), S("")};
#define MACROS .macros = macros, .n_macros = 2, .has_macros = true

static const struct {
	const char *what;
	enum { GOOD, BAD } bad;
	struct milter_event ev;
} events[] = {
	{"an offer", GOOD, {.type = MILTER_EV_NEGOTIATE, .offer = {6, 0x1ff, UINT32_MAX}}},
	{"a client", GOOD,
		{.type = MILTER_EV_CONNECT,
			.name = S("mx.example.org"),
			.ip = {4, {192, 0, 2, 1}},
			.port = 65535,
			MACROS}},
	{"a client by IPv6", GOOD,
		{.type = MILTER_EV_CONNECT, .ip = {6, {0x20, 1}}, .port = 1}},
	{"a client without an address", GOOD,
		{.type = MILTER_EV_CONNECT, .name = S("localhost")}},
	{"a port without an address", BAD, {.type = MILTER_EV_CONNECT, .port = 25}},
	{"a client with NUL", BAD, {.type = MILTER_EV_CONNECT, .name = S("a\0b")}},
	{"HELO", GOOD, {.type = MILTER_EV_HELO, .name = S("mx"), MACROS}},
	{"HELO with NUL", BAD, {.type = MILTER_EV_HELO, .name = S("m\0x")}},
	{"MAIL", GOOD, {.type = MILTER_EV_MAIL, .args = args, .n_args = 3, MACROS}},
	{"RCPT", GOOD, {.type = MILTER_EV_RCPT, .args = args, .n_args = 1, .has_macros = true}},
	{"no path", BAD, {.type = MILTER_EV_RCPT, .args = args + 2, .n_args = 1}},
	{"DATA", GOOD, {.type = MILTER_EV_DATA}},
	{"a field", GOOD,
		{.type = MILTER_EV_HEADER,
			.name = S("Subject"),
			.value = S(" a\n\tb\xff"),
			.has_space = true}},
	{"a field without a name", BAD, {.type = MILTER_EV_HEADER, .value = S("a")}},
	{"a field with NUL", BAD, {.type = MILTER_EV_HEADER, .name = S("A"), .value = S("\0")}},
	{"the header's end", GOOD, {.type = MILTER_EV_HEADER_END, MACROS}},
	{"a body", GOOD, {.type = MILTER_EV_BODY, .value = S("\0any\xff")}},
	{"an empty body", GOOD, {.type = MILTER_EV_BODY}},
	{"the end", GOOD, {.type = MILTER_EV_END, MACROS}},
	{"a command", GOOD, {.type = MILTER_EV_UNKNOWN, .name = S("FOO bar")}},
	{"an abort", GOOD, {.type = MILTER_EV_ABORT}},
	{"an abort with macros", BAD, {.type = MILTER_EV_ABORT, .has_macros = true}},
	{"an offer with macros", BAD, {.type = MILTER_EV_NEGOTIATE, MACROS}},
	{"the next session", GOOD, {.type = MILTER_EV_NEXT}},
	{"the last", GOOD, {.type = MILTER_EV_QUIT}},
	{"no protocol", GOOD, {.type = MILTER_EV_BAD, .why = "a packet is too large"}},
};

static void
test_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(events); i++) {
		struct ipc_out out;
		ipc_out_init(&out);
		milter_event_pack(&events[i].ev, &out);
		check_payload(&out, event_again, events[i].bad == GOOD, events[i].what);
		ipc_out_fini(&out);
	}
}

static void
test_event_fields(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	for (size_t i = 0; i < ARRAY(events); i++) {
		const struct milter_event *ev = &events[i].ev;
		struct milter_event got;
		struct ipc_out out;
		struct slice payload;
		if (events[i].bad == BAD)
			continue;
		ipc_out_init(&out);
		milter_event_pack(ev, &out);
		assert_true(ipc_out_ok(&out, &payload));
		assert_true(milter_event_unpack(payload, a, &got));
		assert_int_equal(got.type, ev->type);
		assert_memory_equal(&got.offer, &ev->offer, sizeof(got.offer));
		assert_true(slice_eq(got.name, ev->name) && slice_eq(got.value, ev->value));
		assert_true(got.ip.family == ev->ip.family && got.port == ev->port);
		assert_memory_equal(got.ip.bytes, ev->ip.bytes, sizeof(got.ip.bytes));
		assert_true(got.has_space == ev->has_space);
		assert_true(got.has_macros == ev->has_macros);
		assert_int_equal(got.n_macros, ev->n_macros);
		for (size_t j = 0; j < ev->n_macros; j++)
			assert_true(slice_eq(got.macros[j].name, macros[j].name) &&
				    slice_eq(got.macros[j].value, macros[j].value));
		assert_int_equal(got.n_args, ev->n_args);
		for (size_t j = 0; j < ev->n_args; j++)
			assert_true(slice_eq(got.args[j], ev->args[j]));
		assert_true(slice_eq(slice_of(got.why), slice_of(ev->why)));
		ipc_out_fini(&out);
	}
	arena_free(&a);
}

#define EDIT(...)                    \
	(const struct milter_edit[]) \
	{                            \
		{                    \
			__VA_ARGS__  \
		}                    \
	}

static const struct {
	const char *what;
	enum milter_verdict verdict;
	const struct milter_edit *edit;
	bool bad;
} answers[] = {
	{"continue", MILTER_CONTINUE, NULL, false},
	{"accept", MILTER_ACCEPT, NULL, false},
	{"discard", MILTER_DISCARD, NULL, false},
	{"skip", MILTER_SKIP, NULL, false},
	{"an insertion", MILTER_CONTINUE,
		EDIT(MILTER_EDIT_INSERT_HEADER, 0, S("X-A"), S(" b\n c\xff")), false},
	{"a deletion", MILTER_CONTINUE, EDIT(MILTER_EDIT_DELETE_HEADER, 3, S("X-A"), S("")),
		false},
	{"one more", MILTER_CONTINUE, EDIT(MILTER_EDIT_ADD_RCPT, 0, S(""), S("<a@b>")), false},
	{"one less", MILTER_CONTINUE, EDIT(MILTER_EDIT_DELETE_RCPT, 0, S(""), S("<a@b>")),
		false},
	{"no name", MILTER_CONTINUE, EDIT(MILTER_EDIT_INSERT_HEADER, 0, S(""), S("b")), true},
	{"a CR", MILTER_CONTINUE, EDIT(MILTER_EDIT_INSERT_HEADER, 0, S("A"), S("b\r\n c")),
		true},
	{"a CR in the name", MILTER_CONTINUE,
		EDIT(MILTER_EDIT_INSERT_HEADER, 0, S("A\r"), S("b")), true},
	{"a NUL", MILTER_CONTINUE, EDIT(MILTER_EDIT_INSERT_HEADER, 0, S("A"), S("b\0")), true},
	{"a change", MILTER_CONTINUE, EDIT(MILTER_EDIT_DELETE_HEADER, 1, S("A"), S("b")), true},
	{"the noneth", MILTER_CONTINUE, EDIT(MILTER_EDIT_DELETE_HEADER, 0, S("A"), S("")),
		true},
	{"nobody", MILTER_CONTINUE, EDIT(MILTER_EDIT_ADD_RCPT, 0, S(""), S("")), true},
	{"a named one", MILTER_CONTINUE, EDIT(MILTER_EDIT_ADD_RCPT, 0, S("A"), S("<a@b>")),
		true},
	{"a second one", MILTER_CONTINUE, EDIT(MILTER_EDIT_DELETE_RCPT, 2, S(""), S("<a@b>")),
		true},
	{"a quarantine", MILTER_CONTINUE,
		EDIT(MILTER_EDIT_QUARANTINE, 0, S(""), S("forged: a.conf:9")), false},
	{"... without reason", MILTER_CONTINUE, EDIT(MILTER_EDIT_QUARANTINE, 0, S(""), S("")),
		true},
	{"... with a line more", MILTER_CONTINUE,
		EDIT(MILTER_EDIT_QUARANTINE, 0, S(""), S("a\nb")), true},
	{"... with what nobody can read", MILTER_CONTINUE,
		EDIT(MILTER_EDIT_QUARANTINE, 0, S(""), S("a\xff")), true},
	{"... of a field", MILTER_CONTINUE, EDIT(MILTER_EDIT_QUARANTINE, 0, S("A"), S("b")),
		true},
	{"... with a place", MILTER_CONTINUE, EDIT(MILTER_EDIT_QUARANTINE, 1, S(""), S("b")),
		true},
	{"no kind", MILTER_CONTINUE, EDIT(MILTER_EDITS, 0, S(""), S("<a@b>")), true},
	{"no verdict", MILTER_SKIP + 1, NULL, true},
};

static void
test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(answers); i++) {
		struct milter_answer answer = {.verdict = answers[i].verdict,
			.edits = answers[i].edit,
			.n_edits = answers[i].edit != NULL};
		struct ipc_out out;
		ipc_out_init(&out);
		milter_answer_pack(&answer, &out);
		check_payload(&out, answer_again, !answers[i].bad, answers[i].what);
		ipc_out_fini(&out);
	}
}

static void
test_replies(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct smtp_reply reply;
		bool bad;
	} rows[] = {
		{"a refusal", {550, {5, 7, 1}, true, S("no\n100%")}, false},
		{"a bare code", {450, {0}, false, S("")}, false},
		{"the last codes", {599, {5, 999, 999}, true, S("no")}, false},
		{"a class of its own", {550, {4, 7, 1}, true, S("no")}, true},
		{"too large a number", {550, {5, 1000, 1}, true, S("no")}, true},
		{"a success", {250, {2, 0, 0}, true, S("yes")}, true},
		{"below", {399, {0}, false, S("no")}, true},
		{"above", {600, {0}, false, S("no")}, true},
	};
	for (size_t i = 0; i < ARRAY(rows); i++) {
		struct milter_answer answer = {.verdict = MILTER_REPLY, .reply = rows[i].reply};
		struct ipc_out out;
		ipc_out_init(&out);
		milter_answer_pack(&answer, &out);
		check_payload(&out, answer_again, !rows[i].bad, rows[i].what);
		ipc_out_fini(&out);
	}
}

/* Whatever the other side says, a reply of it ends no line. */
static void
test_reply_is_cleaned(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct milter_answer answer = {.verdict = MILTER_REPLY,
				     .reply = {550, {5, 7, 1}, true, S("a\r\n250 b\0c")}},
			     got;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	milter_answer_pack(&answer, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_true(milter_answer_unpack(payload, a, &got));
	assert_true(slice_eq(got.reply.text, SLICE("a?\n250 b?c")));
	ipc_out_fini(&out);
	arena_free(&a);
}

static void
test_wants(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct milter_wants w;
		bool bad;
	} rows[] = {
		{"nothing", {0}, false},
		{"all",
			{.can = 0x1ff,
				.may = 0x1ff,
				.steps = UINT32_MAX,
				.macros = {S("i {j}"), [MILTER_AT_HEADER_END] = S("")}},
			false},
		{"an action that is none", {.can = 0x200}, true},
		{"one that may be and is none", {.may = 0x200}, true},
		{"a list with NUL", {.macros = {S("i\0j")}}, true},
	};
	for (size_t i = 0; i < ARRAY(rows); i++) {
		struct ipc_out out;
		ipc_out_init(&out);
		milter_wants_pack(&rows[i].w, &out);
		check_payload(&out, wants_again, !rows[i].bad, rows[i].what);
		ipc_out_fini(&out);
	}
}

/* ---- bounds ---- */

static void
check_edits(size_t n, bool good)
{
	struct arena *a = arena_new(ARENA_BYTES);
	struct milter_answer got;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	ipc_put_u8(&out, MILTER_CONTINUE);
	ipc_put_u32(&out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		ipc_put_u8(&out, MILTER_EDIT_ADD_RCPT);
		ipc_put_u32(&out, 0);
		ipc_put_slice(&out, SLICE_NONE);
		ipc_put_slice(&out, SLICE("a"));
	}
	assert_true(ipc_out_ok(&out, &payload));
	assert_true(milter_answer_unpack(payload, a, &got) == good);
	assert_true(!good || got.n_edits == n);
	ipc_out_fini(&out);
	arena_free(&a);
}

static void
check_edit_bytes(size_t name_bytes, size_t value_bytes, bool good)
{
	static char bytes[MILTER_EDIT_BYTES_MOST + 1];
	struct arena *a = arena_new(ARENA_BYTES);
	memset(bytes, 'a', sizeof(bytes));
	struct milter_edit e = {
		MILTER_EDIT_INSERT_HEADER, 0, {bytes, name_bytes}, {bytes, value_bytes}};
	struct milter_answer answer = {.edits = &e, .n_edits = 1}, got;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	milter_answer_pack(&answer, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_true(milter_answer_unpack(payload, a, &got) == good);
	ipc_out_fini(&out);
	arena_free(&a);
}

static void
check_strings(enum milter_event_type type, size_t n_macros, size_t n_args, bool good)
{
	struct arena *a = arena_new(ARENA_BYTES);
	struct milter_event got;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	ipc_put_u8(&out, (uint8_t)type);
	ipc_put_bool(&out, true);
	ipc_put_u32(&out, (uint32_t)n_macros);
	for (size_t i = 0; i < 2 * n_macros; i++)
		ipc_put_slice(&out, SLICE("x"));
	ipc_put_u32(&out, (uint32_t)n_args);
	for (size_t i = 0; i < n_args; i++)
		ipc_put_slice(&out, SLICE("x"));
	assert_true(ipc_out_ok(&out, &payload));
	assert_true(milter_event_unpack(payload, a, &got) == good);
	ipc_out_fini(&out);
	arena_free(&a);
}

static void
test_bounds(void **state)
{
	(void)state;
	check_edits(MILTER_EDITS_MOST, true);
	check_edits(MILTER_EDITS_MOST + 1, false);
	check_edit_bytes(1, MILTER_EDIT_BYTES_MOST - 1, true);
	check_edit_bytes(1, MILTER_EDIT_BYTES_MOST, false);
	check_edit_bytes(MILTER_EDIT_BYTES_MOST + 1, 0, false);
	check_strings(MILTER_EV_MAIL, MILTER_MACROS_MOST, MILTER_ARGS_MOST, true);
	check_strings(MILTER_EV_MAIL, MILTER_MACROS_MOST + 1, MILTER_ARGS_MOST, false);
	check_strings(MILTER_EV_RCPT, MILTER_MACROS_MOST, MILTER_ARGS_MOST + 1, false);
	check_strings(MILTER_EV_RCPT, 0, 0, false);
	check_strings(MILTER_EV_NONE, 0, 1, false);
	check_strings(MILTER_EVENTS, 0, 1, false);
}

/* The largest reply fits; edits that do not are told. */
static void
test_large_answers(void **state)
{
	(void)state;
	static char text[SMTP_REPLY_BYTES_MOST + 1], value[MILTER_EDIT_BYTES_MOST - 1];
	struct arena *a = arena_new(ARENA_BYTES);
	struct milter_answer answer = {.verdict = MILTER_REPLY}, got;
	struct ipc_out out;
	struct slice payload;
	memset(text, 'a', sizeof(text));
	memset(value, 'a', sizeof(value));
	answer.reply = (struct smtp_reply){.code = 550, .text = {text, sizeof(text)}};
	ipc_out_init(&out);
	milter_answer_pack(&answer, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_true(milter_answer_unpack(payload, a, &got));
	assert_int_equal(got.reply.text.n, SMTP_REPLY_BYTES_MOST);
	ipc_out_fini(&out);

	struct milter_edit e = {
		MILTER_EDIT_INSERT_HEADER, 0, SLICE("A"), {value, sizeof(value)}};
	struct milter_edit three[] = {e, e, e};
	answer = (struct milter_answer){.edits = three, .n_edits = 3};
	ipc_out_init(&out);
	milter_answer_pack(&answer, &out);
	assert_false(ipc_out_ok(&out, &payload));
	ipc_out_fini(&out);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_event_fields),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_reply_is_cleaned),
		cmocka_unit_test(test_wants),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_large_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
