/*
 * The keeper's side of `postern queue`, over its real socket, with the real schedule and a
 * store in memory that answers in the next turn, or when the test says so. Each wait fails
 * loudly after ten seconds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/ipc.h"
#include "queue/hand.h"
#include "shelf.h"

enum { ANSWERS_MOST = 16, WAIT_MS = 10000, HOUR = 3600 * 1000 };
static const int64_t wall_now = INT64_C(1764400000000);

static struct {
	struct loop *loop;
	struct loop_timer late;
	struct arena *arena;
	struct shelf store;
	struct schedule *schedule;
	struct queue_settings settings;
	struct hand *hand;
	char folder[64], path[96];
	enum hand_action action;
	struct custody_id acted[HAND_IDS_MOST];
	size_t n_acted;
	bool act_waits;
	unsigned acts;
	char by[80];
	hand_done_fn *done_fn;
	void *done_arg;
	bool timed_out;
} w;

static struct address
address_of(struct slice s)
{
	struct slice local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){.local = local, .domain = domain, .text = s, .raw = s};
}

static struct custody_id
id_of(size_t i)
{
	struct custody_id id = {{0}};
	id.bytes[0] = (uint8_t)(i >> 8);
	id.bytes[1] = (uint8_t)i;
	return id;
}

/* Mail i: from user<i % 10>@example.org to b@site<i % 4>.example. */
static void
add_mails(size_t n, size_t rcpts)
{
	struct shelf *s = &w.store;
	for (size_t k = 0; k < n; k++) {
		size_t i = s->n++;
		struct stored_rcpt *r = arena_array(w.arena, rcpts, sizeof(*r));
		struct buf out;
		for (size_t j = 0; j < rcpts; j++) {
			r[j].address = address_of(
				arena_printf(w.arena, "b%zu@site%zu.example", j, i % 4));
			r[j].site = r[j].address.domain;
		}
		struct stored_mail m = {.direction = OUTBOUND,
			.own = true,
			.arrived_ms = (uint64_t)wall_now - i * HOUR,
			.sender = address_of(
				arena_printf(w.arena, "user%zu@example.org", i % 10)),
			.rcpts = r,
			.n_rcpts = rcpts};
		buf_init(&out, CUSTODY_ENVELOPE_MOST);
		assert_int_equal(stored_mail_pack(&m, &out), 0);
		s->items[i] = (struct custody_item){.id = id_of(i),
			.envelope = arena_slice(w.arena, buf_slice(&out)),
			.body_bytes = 100 + i};
		buf_fini(&out);
	}
}

/* ---- the keeper's calls ---- */

static void
act(void *arg, const struct hand_act *act, hand_done_fn *fn, void *done_arg)
{
	struct hand_done d = {.done = (uint32_t)act->n};
	(void)arg;
	w.action = act->action;
	snprintf(w.by, sizeof(w.by), "%.*s", SLICE_ARG(act->by));
	w.n_acted = act->n;
	w.acts++;
	memcpy(w.acted, act->ids, act->n * sizeof(*act->ids));
	w.done_fn = fn;
	w.done_arg = done_arg;
	if (!w.act_waits)
		fn(done_arg, &d);
}

static uint32_t
part_of(void *arg, const struct stored_mail *m, const struct stored_note *n, size_t rcpt)
{
	(void)arg;
	(void)m;
	(void)n;
	return (uint32_t)rcpt;
}

static const struct queue_settings *
settings(void *arg)
{
	(void)arg;
	return &w.settings;
}

static enum egress_state
egress(void *arg)
{
	(void)arg;
	return EGRESS_BLOCKED;
}

static struct slice
egress_words(void *arg, struct arena *a)
{
	(void)arg;
	return arena_printf(a, "12 sites could not be reached\n");
}

static struct hand_fill
fill(void *arg)
{
	(void)arg;
	return (struct hand_fill){.items = 3, .bytes = 4000, .most = 5000};
}

static int64_t
wall(void)
{
	return wall_now;
}

static bool
no_limit(void *arg, struct slice site, struct schedule_limit *out)
{
	(void)arg;
	(void)site;
	(void)out;
	return false;
}

static void
on_late(void *arg)
{
	(void)arg;
	w.timed_out = true;
	loop_stop(w.loop);
}

static int
set_up(void **state)
{
	const struct schedule_config sc = {.retry_ms = 300000,
		.retry_most_ms = 4 * HOUR,
		.attempts_most = 100,
		.site_most = 2,
		.site_first = 1};
	struct err err;
	(void)state;
	memset(&w, 0, sizeof(w));
	w.loop = loop_new(&err);
	assert_non_null(w.loop);
	w.arena = arena_new(64 * 1024 * 1024);
	loop_timer_init(&w.late, w.loop, on_late, NULL);
	shelf_init(&w.store, w.loop);
	w.schedule = schedule_new(&sc, no_limit, NULL);
	snprintf(w.folder, sizeof(w.folder), "/tmp/queue-hand-XXXXXX");
	assert_non_null(mkdtemp(w.folder));
	snprintf(w.path, sizeof(w.path), "%s/control", w.folder);
	struct hand_config config = {.loop = w.loop,
		.listen_fd = ipc_listen(w.path, 0660, &err),
		.custody = &w.store.custody,
		.schedule = w.schedule,
		.act = act,
		.part_of = part_of,
		.settings = settings,
		.egress_state = egress,
		.egress_text = egress_words,
		.fill = fill,
		.user = "gate",
		.wall_ms = wall};
	assert_true(config.listen_fd >= 0);
	w.hand = hand_new(&config);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	hand_free(&w.hand);
	loop_timer_clear(&w.late);
	shelf_answer(&w.store); /* calls that are open come back to nobody */
	loop_free(&w.loop);
	schedule_free(&w.schedule);
	arena_free(&w.arena);
	unlink(w.path);
	rmdir(w.folder);
	return 0;
}

/* ---- a client ---- */

struct user {
	struct ipc *ipc;
	bool gone;
	struct ipc_msg answers[ANSWERS_MOST]; /* payloads copied */
	size_t n;
	size_t want;
};

static void
on_message(void *arg, struct ipc_msg *m)
{
	struct user *u = arg;
	assert_true(u->n < ANSWERS_MOST);
	u->answers[u->n] = *m;
	u->answers[u->n].payload = arena_slice(w.arena, m->payload);
	if (++u->n == u->want)
		loop_stop(w.loop);
}

static void
on_gone(void *arg, const struct err *err)
{
	struct user *u = arg;
	(void)err;
	u->gone = true;
	ipc_free(&u->ipc);
	loop_stop(w.loop);
}

static void
connect_user(struct user *u)
{
	static const struct ipc_calls calls = {.on_message = on_message, .on_gone = on_gone};
	struct err err;
	int fd = ipc_connect(w.path, &err);
	assert_true(fd >= 0);
	*u = (struct user){.ipc = ipc_new(w.loop, fd, 1 << 20, &calls, u)};
}

static void
run(void)
{
	struct err err;
	loop_timer_set(&w.late, WAIT_MS);
	assert_int_equal(loop_run(w.loop, &err), 0);
	assert_false(w.timed_out);
	loop_timer_clear(&w.late);
}

/* Until so many answers are in, or the client was let go. */
static void
wait_answers(struct user *u, size_t n)
{
	u->want = n;
	while (u->n < n && !u->gone)
		run();
}

static void
send_out(struct user *u, uint16_t type, uint32_t id, struct ipc_out *out)
{
	struct slice payload;
	assert_true(ipc_out_ok(out, &payload));
	assert_int_equal(ipc_send(u->ipc, type, id, payload), 0);
	ipc_out_fini(out);
}

static void
send_list(struct user *u, uint32_t id, const struct hand_filter *f, uint64_t from)
{
	struct hand_list q = {.filter = *f, .from = from};
	struct ipc_out out;
	ipc_out_init(&out);
	hand_list_pack(&q, &out);
	send_out(u, HAND_MSG_LIST, id, &out);
}

static void
send_id(struct user *u, enum hand_msg type, size_t mail)
{
	struct custody_id id = id_of(mail);
	struct ipc_out out;
	ipc_out_init(&out);
	hand_id_pack(&id, &out);
	send_out(u, (uint16_t)type, 1, &out);
}

static void
check_error(const struct ipc_msg *m, const char *words)
{
	assert_int_equal(m->type, HAND_MSG_ERROR);
	if (slice_find_slice(m->payload, slice_of(words)) == m->payload.n)
		fail_msg("%.*s", SLICE_ARG(m->payload));
}

/* Goes through all pages; counts what came. */
static size_t
list_all(struct user *u, const struct hand_filter *f, size_t *pages_out)
{
	struct hand_page page = {0};
	size_t found = 0;
	*pages_out = 0;
	do {
		u->n = 0;
		send_list(u, 5, f, page.next);
		u->want = ANSWERS_MOST;
		size_t seen = 0, on_page = 0;
		do {
			wait_answers(u, seen + 1);
			assert_false(u->gone);
			const struct ipc_msg *m = &u->answers[seen++];
			assert_int_equal(m->id, 5);
			struct hand_item *items;
			size_t n;
			if (m->type == HAND_MSG_PAGE)
				break;
			assert_int_equal(m->type, HAND_MSG_ITEMS);
			assert_true(hand_items_unpack(m->payload, w.arena, &items, &n));
			on_page += n;
		} while (true);
		assert_true(hand_page_unpack(u->answers[seen - 1].payload, &page));
		assert_int_equal(page.matched, on_page);
		assert_in_range(page.seen, 0, HAND_PAGE_MOST);
		found += on_page;
		++*pages_out;
	} while (!page.end);
	return found;
}

static void
test_list(void **state)
{
	(void)state;
	struct user u;
	size_t pages;
	add_mails(500, 1);
	connect_user(&u);
	assert_int_equal(list_all(&u, &(struct hand_filter){0}, &pages), 500);
	assert_int_equal(pages, 3);
	assert_int_equal(w.store.largest, HAND_PAGE_MOST);
	assert_int_equal(
		list_all(&u, &(struct hand_filter){.sender = SLICE("user3@example.org")},
			&pages),
		50);
	assert_int_equal(
		list_all(&u, &(struct hand_filter){.destination = SLICE("site1.example")},
			&pages),
		125);
	assert_int_equal(
		list_all(&u, &(struct hand_filter){.older_ms = UINT64_C(490) * HOUR}, &pages),
		10);
	assert_int_equal(list_all(&u, &(struct hand_filter){.held = true}, &pages), 0);
	/* By its id it is asked for alone. */
	w.store.scans = 0;
	assert_int_equal(
		list_all(&u, &(struct hand_filter){.by_id = true, .id = id_of(321)}, &pages),
		1);
	assert_int_equal(
		list_all(&u, &(struct hand_filter){.by_id = true, .id = id_of(999)}, &pages),
		0);
	assert_int_equal(w.store.scans, 0);
	ipc_free(&u.ipc);
}

/* What cannot be read is shown as that. */
static void
test_unreadable(void **state)
{
	(void)state;
	struct user u;
	struct hand_item *items;
	size_t n;
	add_mails(2, 1);
	w.store.items[0].envelope = SLICE("\x7f of a later release");
	connect_user(&u);
	send_list(&u, 1, &(struct hand_filter){0}, 0);
	wait_answers(&u, 2);
	assert_true(hand_items_unpack(u.answers[0].payload, w.arena, &items, &n));
	assert_int_equal(n, 2);
	assert_false(items[0].readable);
	assert_int_equal(items[0].bytes, 100);
	assert_true(items[1].readable);
	u.n = 0;
	send_id(&u, HAND_MSG_WHY, 0);
	wait_answers(&u, 1);
	assert_true(slice_find_slice(u.answers[0].payload, SLICE("cannot be read")) <
		    u.answers[0].payload.n);
	ipc_free(&u.ipc);
}

/* All pieces of a stream of bytes. */
static struct slice
gather(struct user *u)
{
	struct slice all = SLICE_NONE, piece;
	bool last = false;
	for (size_t i = 0; !last; i++) {
		wait_answers(u, i + 1);
		assert_false(u->gone);
		assert_int_equal(u->answers[i].type, HAND_MSG_BYTES);
		assert_true(hand_bytes_unpack(u->answers[i].payload, &piece, &last));
		char *joined = arena_alloc(w.arena, all.n + piece.n + 1);
		if (all.n != 0)
			memcpy(joined, all.p, all.n);
		if (piece.n != 0)
			memcpy(joined + all.n, piece.p, piece.n);
		all = (struct slice){joined, all.n + piece.n};
	}
	return all;
}

static void
test_show_and_why(void **state)
{
	(void)state;
	struct user u;
	struct hand_stored s;
	struct stored_mail m;
	add_mails(1, STORED_RCPTS_MOST); /* an envelope of several messages */
	connect_user(&u);
	send_id(&u, HAND_MSG_SHOW, 0);
	assert_true(hand_stored_unpack(gather(&u), &s));
	assert_true(u.n > 3);
	assert_int_equal(s.bytes, 100);
	assert_true(slice_eq(s.envelope, w.store.items[0].envelope));
	assert_true(stored_mail_unpack(s.envelope, w.arena, &m));
	u.n = 0;
	add_mails(1, 1);
	send_id(&u, HAND_MSG_WHY, 1);
	struct slice text = gather(&u);
	assert_true(
		slice_find_slice(text, SLICE("recipient b0@site1.example: waiting")) < text.n);
	u.n = 0;
	send_id(&u, HAND_MSG_SHOW, 77);
	wait_answers(&u, 1);
	check_error(&u.answers[0], "no such mail");
	ipc_free(&u.ipc);
}

static void
test_body(void **state)
{
	(void)state;
	struct user u;
	struct ipc_out out;
	struct hand_body b = {.id = id_of(0)};
	size_t bytes = 2 * HAND_BYTES_MOST; /* its end is an empty piece */
	char *body = arena_alloc(w.arena, bytes);
	struct slice piece;
	bool last = false;
	add_mails(1, 1);
	memset(body, 'x', bytes);
	body[bytes - 1] = 'y';
	w.store.body = (struct slice){body, bytes};
	connect_user(&u);
	for (int turns = 0; !last; turns++) {
		assert_true(turns < 4);
		ipc_out_init(&out);
		hand_body_pack(&b, &out);
		u.n = 0;
		send_out(&u, HAND_MSG_BODY, 9, &out);
		wait_answers(&u, 1);
		assert_true(hand_bytes_unpack(u.answers[0].payload, &piece, &last));
		assert_memory_equal(piece.p, body + b.offset, piece.n);
		b.offset += piece.n;
	}
	assert_int_equal(b.offset, bytes);
	assert_int_equal(w.acts, 0); /* of a mail that is not in quarantine nobody is asked */
	b = (struct hand_body){.id = id_of(5)};
	ipc_out_init(&out);
	hand_body_pack(&b, &out);
	u.n = 0;
	send_out(&u, HAND_MSG_BODY, 9, &out);
	wait_answers(&u, 1);
	check_error(&u.answers[0], "no such mail");
	ipc_free(&u.ipc);
}

static void
send_act(struct user *u, enum hand_action action, size_t n)
{
	struct custody_id ids[HAND_IDS_MOST];
	struct hand_act a = {.action = action, .by = SLICE("anna"), .ids = ids, .n = n};
	struct ipc_out out;
	for (size_t i = 0; i < n; i++)
		ids[i] = id_of(i);
	ipc_out_init(&out);
	hand_act_pack(&a, &out);
	send_out(u, HAND_MSG_ACT, 3, &out);
}

static void
test_act(void **state)
{
	(void)state;
	struct user u;
	struct hand_done d;
	connect_user(&u);
	send_act(&u, HAND_DROP, HAND_IDS_MOST);
	wait_answers(&u, 1);
	assert_int_equal(u.answers[0].type, HAND_MSG_DONE);
	assert_true(hand_done_unpack(u.answers[0].payload, &d));
	assert_int_equal(d.done, HAND_IDS_MOST);
	assert_int_equal(w.action, HAND_DROP);
	assert_string_equal(w.by, geteuid() == 0 ? "root, for anna" : "gate, for anna");
	assert_int_equal(w.n_acted, HAND_IDS_MOST);
	struct custody_id last = id_of(HAND_IDS_MOST - 1);
	assert_true(custody_id_eq(&w.acted[HAND_IDS_MOST - 1], &last));
	/* Done later; the ids live as long. */
	w.act_waits = true;
	send_act(&u, HAND_HOLD, 2);
	while (w.n_acted != 2) {
		loop_timer_set(&w.late, 20);
		struct err err;
		assert_int_equal(loop_run(w.loop, &err), 0);
	}
	w.timed_out = false;
	d = (struct hand_done){.done = 1, .failed = 1, .why = SLICE("the disk is full")};
	w.done_fn(w.done_arg, &d);
	wait_answers(&u, 2);
	assert_true(hand_done_unpack(u.answers[1].payload, &d));
	assert_true(d.failed == 1 && slice_eq(d.why, SLICE("the disk is full")));
	ipc_free(&u.ipc);
}

static void
test_counts(void **state)
{
	(void)state;
	struct user u;
	struct ipc_out out;
	struct hand_state s;
	struct schedule_part p = {.part = 1, .site = SLICE("dest.example"), .due_ms = 1};
	add_mails(7, 1);
	assert_int_equal(schedule_add(w.schedule, &p, 0), 0);
	connect_user(&u);
	ipc_out_init(&out);
	send_out(&u, HAND_MSG_COUNTS, 4, &out);
	wait_answers(&u, 1);
	assert_int_equal(u.answers[0].type, HAND_MSG_STATE);
	assert_true(hand_state_unpack(u.answers[0].payload, &s));
	assert_int_equal(s.space.items, 7);
	assert_int_equal(s.space.free_bytes, 12345);
	assert_int_equal(s.schedule.mails, 1);
	assert_int_equal(s.egress, EGRESS_BLOCKED);
	assert_int_equal(s.quarantine.items, 3);
	assert_int_equal(s.quarantine.bytes, 4000);
	assert_int_equal(s.quarantine.most, 5000);
	assert_true(slice_eq(s.egress_text, SLICE("12 sites could not be reached\n")));
	ipc_free(&u.ipc);
}

/* The store says no. */
static void
test_failing_store(void **state)
{
	(void)state;
	struct user u;
	add_mails(1, 1);
	w.store.fails = true;
	connect_user(&u);
	send_list(&u, 1, &(struct hand_filter){0}, 0);
	wait_answers(&u, 1);
	check_error(&u.answers[0], "cannot be read now");
	send_id(&u, HAND_MSG_SHOW, 0);
	wait_answers(&u, 2);
	check_error(&u.answers[1], "cannot be read now");
	ipc_free(&u.ipc);
}

static void
turn(void)
{
	struct err err;
	loop_timer_set(&w.late, 20);
	assert_int_equal(loop_run(w.loop, &err), 0);
	w.timed_out = false;
}

/* Whoever speaks otherwise than we do is let go; the others are served on. */
static void
test_broken_clients(void **state)
{
	(void)state;
	struct user bad, good;
	add_mails(3, 1);
	const struct {
		uint16_t type;
		struct slice payload;
	} cases[] = {
		{HAND_MSG_LIST, SLICE("x")},
		{HAND_MSG_SHOW, SLICE("")},
		{HAND_MSG_WHY, SLICE("0123456789abcdefg")},
		{HAND_MSG_BODY, SLICE("0123456789abcdef")},
		{HAND_MSG_ACT, SLICE("\0\0\0\0\0")},
		{HAND_MSG_COUNTS, SLICE("x")},
		{HAND_MSG_PAGE, SLICE("")},
		{1, SLICE("")},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		connect_user(&bad);
		assert_int_equal(ipc_send(bad.ipc, cases[i].type, 1, cases[i].payload), 0);
		wait_answers(&bad, 1);
		assert_true(bad.gone && bad.n == 0);
	}
	/* A second question before the answer to the first. */
	w.store.wait = true;
	connect_user(&bad);
	send_list(&bad, 1, &(struct hand_filter){0}, 0);
	send_list(&bad, 2, &(struct hand_filter){0}, 0);
	wait_answers(&bad, 1);
	assert_true(bad.gone && bad.n == 0);
	w.store.wait = false;
	shelf_answer(&w.store);
	turn();
	connect_user(&good);
	size_t pages;
	assert_int_equal(list_all(&good, &(struct hand_filter){0}, &pages), 3);
	ipc_free(&good.ipc);
}

/* Clients that go away while the store or the keeper still works for them. */
static void
test_gone_clients(void **state)
{
	(void)state;
	struct user u[5];
	struct ipc_out out;
	struct hand_body b = {.id = id_of(0)};
	struct hand_done d = {.done = 1};
	add_mails(1, 1);
	w.store.wait = w.act_waits = true;
	for (size_t i = 0; i < 5; i++)
		connect_user(&u[i]);
	send_list(&u[0], 1, &(struct hand_filter){0}, 0);
	send_id(&u[1], HAND_MSG_SHOW, 0);
	send_id(&u[2], HAND_MSG_WHY, 0);
	ipc_out_init(&out);
	hand_body_pack(&b, &out);
	send_out(&u[3], HAND_MSG_BODY, 1, &out);
	send_act(&u[4], HAND_RETRY, 1);
	while (w.n_acted == 0)
		turn();
	for (size_t i = 0; i < 5; i++)
		ipc_free(&u[i].ipc);
	turn();
	shelf_answer(&w.store);
	w.done_fn(w.done_arg, &d);
	turn();
	/* The same with the hand itself gone: tear_down lets the store answer after it. */
	connect_user(&u[0]);
	send_list(&u[0], 1, &(struct hand_filter){0}, 0);
	turn();
	assert_non_null(w.store.first);
	hand_free(&w.hand);
	wait_answers(&u[0], 1);
	assert_true(u[0].gone);
}

static void
test_too_many_clients(void **state)
{
	(void)state;
	struct user u[HAND_CLIENTS_MOST + 1];
	for (size_t i = 0; i <= HAND_CLIENTS_MOST; i++)
		connect_user(&u[i]);
	wait_answers(&u[HAND_CLIENTS_MOST], 1);
	check_error(&u[HAND_CLIENTS_MOST].answers[0], "too many at once");
	wait_answers(&u[HAND_CLIENTS_MOST], 2);
	assert_true(u[HAND_CLIENTS_MOST].gone);
	/* One goes, one may come. */
	ipc_free(&u[0].ipc);
	turn();
	connect_user(&u[0]);
	send_list(&u[0], 1, &(struct hand_filter){0}, 0);
	wait_answers(&u[0], 1);
	assert_int_equal(u[0].answers[0].type, HAND_MSG_PAGE);
	for (size_t i = 0; i < HAND_CLIENTS_MOST; i++)
		ipc_free(&u[i].ipc);
}

static void
test_socket(void **state)
{
	(void)state;
	struct stat st;
	struct err err;
	char path[200];
	assert_int_equal(stat(w.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_true(S_ISSOCK(st.st_mode));
	/* A living socket is not taken over, a dead one is. */
	assert_int_equal(ipc_listen(w.path, 0660, &err), -1);
	hand_free(&w.hand);
	assert_int_equal(ipc_connect(w.path, &err), -1);
	int fd = ipc_listen(w.path, 0600, &err);
	assert_true(fd >= 0);
	close(fd);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(ipc_listen(path, 0600, &err), -1);
	assert_int_equal(ipc_connect(path, &err), -1);
}

/* Another user is told so, and nothing else. */
static void
test_other_user(void **state)
{
	(void)state;
	struct user u;
	if (geteuid() != 0) {
		print_message("SKIPPED: no root, no other user\n");
		skip();
	}
	assert_int_equal(chmod(w.path, 0666), 0);
	assert_int_equal(chmod(w.folder, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	connect_user(&u);
	assert_int_equal(seteuid(0), 0);
	wait_answers(&u, 1);
	check_error(&u.answers[0], "only root");
	wait_answers(&u, 2);
	assert_true(u.gone);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_show_and_why, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_body, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_act, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failing_store, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_clients, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gone_clients, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_clients, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_user, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
