/*
 * Jobs to a scanner and reports back: what is packed comes out again, what is over a bound is
 * told as such, what is cut anywhere or claims too much is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "scan/messages.h"

static char big[SCAN_INLINE_BYTES + 1];

static void
test_jobs(void **state)
{
	(void)state;
	const struct {
		struct scan_job job;
		bool has_fd, good;
	} rows[] = {
		{{SCAN_WANT_VIRUS, 0, 0, SLICE_NONE}, false, true},
		{{SCAN_WANT_ALL, 1, 4, {"mail", 4}}, false, true},
		{{SCAN_WANT_ALL, 1, SCAN_INLINE_BYTES, {big, SCAN_INLINE_BYTES}}, false, true},
		{{SCAN_WANT_ALL, 1, SCAN_INLINE_BYTES + 1, {big, SCAN_INLINE_BYTES + 1}}, false,
			false},
		{{SCAN_WANT_ALL, 1, 1u << 30, SLICE_NONE}, true, true},
		{{SCAN_WANT_ALL, 1, UINT64_MAX, SLICE_NONE}, true, false},
		{{SCAN_WANT_ALL, 1, 4, {"mail", 4}}, true, false},
		{{SCAN_WANT_ALL, 1, 5, {"mail", 4}}, false, false},
		{{SCAN_WANT_ALL, 1, 3, {"mail", 4}}, false, false},
		{{0, 0, 4, {"mail", 4}}, false, false},
		{{SCAN_WANT_ALL + 1, 0, 4, {"mail", 4}}, false, false},
		{{SCAN_WANT_ALL, 2, 4, {"mail", 4}}, false, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_out out;
		struct slice payload;
		struct scan_job got;
		ipc_out_init(&out);
		scan_job_pack(&rows[i].job, &out);
		assert_true(ipc_out_ok(&out, &payload));
		if (scan_job_unpack(payload, rows[i].has_fd, &got) != rows[i].good)
			fail_msg("row %zu", i);
		if (rows[i].good)
			assert_true(got.want == rows[i].job.want &&
				    got.set == rows[i].job.set &&
				    got.bytes == rows[i].job.bytes &&
				    slice_eq(got.body, rows[i].job.body));
		for (size_t cut = 0; cut < payload.n && cut < 100; cut++) {
			struct guarded g = guarded_new(slice_first(payload, cut));
			assert_false(scan_job_unpack(g.in, rows[i].has_fd, &got));
			guarded_free(&g);
		}
		ipc_out_fini(&out);
	}
}

static struct slice
pack(const struct scan_report *r, struct ipc_out *out)
{
	struct slice payload;
	ipc_out_init(out);
	scan_report_pack(r, out);
	assert_true(ipc_out_ok(out, &payload));
	return payload;
}

static void
test_report(void **state)
{
	(void)state;
	struct scan_attachment attachments[] = {
		{.name = {"a\0b.exe", 7}, .type = {"application/zip", 15}, .bytes = UINT64_MAX},
		{.depth = 3, .encrypted = true},
		{.name = {"deep", 4},
			.type = {"x/y", 3},
			.bytes = 1,
			.depth = 300,
			.hashed = true,
			.sha256 = {0xff, [31] = 0x7f}},
	};
	struct scan_report r = {.status = SCAN_INFECTED,
		.virus = SLICE("Eicar"),
		.why = SLICE("because"),
		.reason = SCAN_REASON_PATTERN,
		.text_unread = true,
		.unread_why = SLICE("a drawing"),
		.encrypted = true,
		.signatures = UINT64_MAX - 1,
		.attachments = attachments,
		.n_attachments = 3,
		.patterns = {1, [SCAN_PATTERNS_MOST - 1] = UINT32_MAX}};
	struct scan_report got;
	struct ipc_out out;
	struct arena *a = arena_new(1 << 20);
	struct slice payload = pack(&r, &out);
	for (size_t cut = 0; cut < payload.n; cut++) {
		struct guarded g = guarded_new(slice_first(payload, cut));
		assert_false(scan_report_unpack(g.in, a, &got));
		guarded_free(&g);
		arena_reset(a);
	}
	struct guarded g = guarded_new(payload);
	assert_true(scan_report_unpack(g.in, a, &got));
	guarded_free(&g);
	ipc_out_fini(&out);
	/* everything was copied: the payload is gone */
	assert_true(got.status == r.status && slice_eq(got.virus, r.virus) &&
		    slice_eq(got.why, r.why) && got.n_attachments == 3);
	assert_true(got.reason == r.reason && got.text_unread && got.encrypted &&
		    slice_eq(got.unread_why, r.unread_why) && got.signatures == r.signatures);
	for (size_t i = 0; i < 3; i++)
		assert_true(slice_eq(got.attachments[i].name, attachments[i].name) &&
			    slice_eq(got.attachments[i].type, attachments[i].type) &&
			    got.attachments[i].bytes == attachments[i].bytes &&
			    got.attachments[i].encrypted == attachments[i].encrypted &&
			    got.attachments[i].hashed == attachments[i].hashed &&
			    memcmp(got.attachments[i].sha256, attachments[i].sha256, 32) == 0);
	assert_true(got.attachments[1].depth == 3 && got.attachments[2].depth == 255);
	assert_memory_equal(got.patterns, r.patterns, sizeof(r.patterns));
	arena_free(&a);
}

/* More than a report takes: it fits, and does not say that the mail is clean. */
static void
test_cut(void **state)
{
	(void)state;
	static struct scan_attachment many[SCAN_ATTACHMENTS_MOST + 1];
	static char name[400];
	memset(name, 'n', sizeof(name) - 4);
	memcpy(name + sizeof(name) - 4, ".exe", 4);
	static const struct {
		size_t n, name_bytes;
		enum scan_status before, after;
		bool hashed;
	} rows[] = {
		{2, sizeof(name), SCAN_CLEAN, SCAN_CLEAN, false},
		{SCAN_ATTACHMENTS_MOST, 10, SCAN_CLEAN, SCAN_CLEAN, false},
		{SCAN_ATTACHMENTS_MOST, 10, SCAN_CLEAN, SCAN_CLEAN, true},
		{SCAN_ATTACHMENTS_MOST, 80, SCAN_CLEAN, SCAN_CLEAN, false},
		{SCAN_ATTACHMENTS_MOST, 80, SCAN_CLEAN, SCAN_UNSCANNABLE, true},
		{SCAN_ATTACHMENTS_MOST + 1, 10, SCAN_CLEAN, SCAN_UNSCANNABLE, false},
		{SCAN_ATTACHMENTS_MOST, sizeof(name), SCAN_CLEAN, SCAN_UNSCANNABLE, false},
		{SCAN_ATTACHMENTS_MOST, sizeof(name), SCAN_INFECTED, SCAN_INFECTED, false},
		{SCAN_ATTACHMENTS_MOST, sizeof(name), SCAN_FAILED, SCAN_FAILED, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena *a = arena_new(4 << 20);
		struct ipc_out out;
		struct scan_report got, r = {.status = rows[i].before,
						.attachments = many,
						.n_attachments = rows[i].n};
		for (size_t k = 0; k < rows[i].n; k++)
			many[k] = (struct scan_attachment){
				.name = slice_from((struct slice){name, sizeof(name)},
					sizeof(name) - rows[i].name_bytes),
				.hashed = rows[i].hashed};
		assert_true(scan_report_unpack(pack(&r, &out), a, &got));
		if (got.status != rows[i].after)
			fail_msg("row %zu: %d", i, got.status);
		assert_true((got.status == SCAN_UNSCANNABLE) == (got.why.n != 0));
		assert_true(
			(got.status == SCAN_UNSCANNABLE) == (got.reason == SCAN_REASON_PARTS));
		assert_true(got.attachments[0].hashed == rows[i].hashed);
		assert_true(got.n_attachments <= SCAN_ATTACHMENTS_MOST);
		/* the end of a name is what opens it */
		assert_true(got.attachments[0].name.n <= SCAN_NAME_MOST &&
			    slice_ends(got.attachments[0].name, SLICE("n.exe")));
		ipc_out_fini(&out);
		arena_free(&a);
	}
}

/* A count that the rest cannot hold costs no memory. */
static void
test_count(void **state)
{
	(void)state;
	static const uint32_t counts[] = {
		1, SCAN_ATTACHMENTS_MOST, SCAN_ATTACHMENTS_MOST + 1, UINT32_MAX};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct scan_report got, r = {.status = SCAN_CLEAN};
		struct ipc_out out;
		struct arena *a = arena_new(1 << 20);
		struct slice payload = pack(&r, &out);
		char copy[1000];
		assert_true(payload.n <= sizeof(copy));
		memcpy(copy, payload.p, payload.n);
		for (size_t k = 0; k < 4; k++)
			copy[payload.n - 4 + k] = (char)(counts[i] >> (8 * k));
		assert_false(scan_report_unpack((struct slice){copy, payload.n}, a, &got));
		assert_true(arena_used(a) < 1000);
		ipc_out_fini(&out);
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
