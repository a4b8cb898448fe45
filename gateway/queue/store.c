/*
 * What mails in memory ask of the store: their envelope and note, their body, a new note, to be
 * dropped. Nothing here waits; a mail has a user more while a call is under way.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/keeper_priv.h"

enum {
	READ_BYTES = 1024 * 1024, /* custody.h: at most so much at once */
	LOADED_ARENA_MOST = 256 * 1024 * 1024,
	DROPS_FIRST = 64,
};

/* Writes failed: nothing is sent until they work again (DESIGN.md, "Custody"). */
void
store_failed(struct keeper *k, struct slice why)
{
	if (!k->store_bad) {
		struct log_line l;
		log_begin(&l, EV_SPOOL, NULL);
		log_text(&l, "what", "a commit failed: deliveries wait until the store works");
		log_slice(&l, "error", why);
		log_end(&l);
	}
	/* The store goes on in another segment: often it works again at once. */
	if (!loop_timer_is_set(&k->store_timer))
		loop_timer_set(
			&k->store_timer, k->store_bad ? KEEPER_AGAIN_MS : KEEPER_PROBE_MS);
	k->store_bad = true;
}

static void
loaded(struct mail *m)
{
	struct keeper *k = m->keeper;
	m->users--;
	k->loads--;
	keeper_pump(k);
	mail_wake_parts(m);
}

static void
on_got(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct mail *m = arg;
	struct arena *a = m->holding->arena;
	(void)next;
	(void)end;
	if (r == CUSTODY_OK && n == 1 && !m->dropped &&
		stored_mail_unpack(arena_slice(a, items[0].envelope), a, &m->mail) &&
		stored_note_unpack(arena_slice(a, items[0].note), &m->mail, a, &m->note)) {
		m->body_bytes = items[0].body_bytes;
		mail_divide(m);
		m->place = MAIL_STORED;
	} else if (r == CUSTODY_OK) { /* gone meanwhile, or nothing that we can read */
		schedule_remove(m->keeper->schedule, &m->id);
		m->place = MAIL_GONE;
	} else {
		m->place = MAIL_GONE; /* from memory: its parts are tried again soon */
		m->unread = true;
	}
	loaded(m);
}

struct mail *
mail_load(struct keeper *k, const struct custody_id *id, uint32_t part)
{
	struct holding *h = holding_new(LOADED_ARENA_MOST);
	struct mail *m = mail_new(k, h, id);
	holding_release(&h); /* the mail's alone */
	m->place = MAIL_LOADING;
	/* What is through stays readable until its drop is committed, and is not sent again. */
	m->dropped = drops_has(k, id);
	m->body_place = BODY_STORED;
	m->users++;
	k->loads++;
	mail_wait_part(m, part);
	custody_get(k->custody, id, on_got, m);
	return m;
}

/* Without a name, beside the spool: gone with its last user. */
static int
open_tmp(struct keeper *k)
{
	return openat(k->tmp_dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int
copy_body(const struct mail *m, int fd, struct err *err)
{
	struct relay_reader reader;
	struct buf scratch;
	struct slice piece = SLICE("");
	uint64_t at = 0;
	int result;
	buf_init(&scratch, READ_BYTES);
	relay_reader_init(&reader, &m->body);
	while ((result = relay_reader_next(&reader, READ_BYTES, &scratch, &piece, err)) == 0 &&
		piece.n != 0) {
		if (pwrite(fd, piece.p, piece.n, (off_t)at) != (ssize_t)piece.n) {
			result = err_sys(err, "write a body beside the spool");
			break;
		}
		at += piece.n;
	}
	buf_fini(&scratch);
	return result;
}

int
mail_body_to_file(struct mail *m)
{
	struct err err;
	if (m->body_file > 0)
		return 0;
	int fd = open_tmp(m->keeper);
	if (fd < 0 || copy_body(m, fd, &err) < 0) {
		if (fd >= 0) {
			log_error(EV_SYSTEM_ERROR, NULL, &err);
			close(fd);
		}
		return -1;
	}
	relay_body_init(&m->body_in_file, m->holding->arena);
	must(relay_body_add_file(&m->body_in_file, fd, 0, m->body_bytes) == 0);
	m->body_file = fd;
	return 0;
}

static void read_more(struct mail *m);

static int
keep_piece(struct mail *m, struct slice bytes)
{
	struct err err;
	struct holding *h = m->holding;
	if (m->body_bytes <= DELIVERY_INLINE_BYTES) {
		(void)relay_body_add(&m->body, arena_slice(h->arena, bytes));
		return 0;
	}
	if (h->file < 0)
		h->file = open_tmp(m->keeper);
	ssize_t n = h->file < 0 ? -1 : pwrite(h->file, bytes.p, bytes.n, (off_t)m->body_read);
	if (n == (ssize_t)bytes.n)
		return 0;
	err_sys(&err, "write a body beside the spool");
	log_error(EV_SYSTEM_ERROR, NULL, &err);
	return -1;
}

static void
body_ends(struct mail *m, enum body_place place)
{
	if (place == BODY_HERE && m->body_bytes > DELIVERY_INLINE_BYTES)
		(void)relay_body_add_file(&m->body, m->holding->file, 0, m->body_bytes);
	m->body_place = place;
	m->users--;
	mail_wake_parts(m);
}

static void
on_body(void *arg, enum custody_result r, struct slice bytes)
{
	struct mail *m = arg;
	if (r != CUSTODY_OK || bytes.n == 0) {
		body_ends(m, m->body_read == m->body_bytes ? BODY_HERE : BODY_LOST);
		return;
	}
	if (keep_piece(m, bytes) < 0) {
		body_ends(m, BODY_NO_ROOM); /* its attempts are put off: see attempt.c */
		return;
	}
	m->body_read += bytes.n;
	if (m->body_read >= m->body_bytes)
		body_ends(m, BODY_HERE);
	else
		read_more(m);
}

static void
read_more(struct mail *m)
{
	custody_body_read(m->keeper->custody, &m->id, m->body_read, READ_BYTES, on_body, m);
}

bool
mail_body(struct mail *m, uint32_t part)
{
	if (m->body_place != BODY_STORED && m->body_place != BODY_READING)
		return true;
	mail_wait_part(m, part);
	if (m->body_place == BODY_STORED) {
		m->body_place = BODY_READING;
		m->body_read = 0;
		relay_body_init(&m->body, m->holding->arena);
		m->users++;
		if (m->body_bytes == 0)
			body_ends(m, BODY_HERE);
		else
			read_more(m);
		return m->body_place == BODY_HERE;
	}
	return false;
}

struct save {
	struct mail *mail;
	struct buf note;
};

static void
on_saved(void *arg, enum custody_result r, struct slice why)
{
	struct save *s = arg;
	struct mail *m = s->mail;
	buf_fini(&s->note);
	mem_free(s);
	m->saving = false;
	m->users--;
	if (r != CUSTODY_OK) {
		m->dirty = true;
		store_failed(m->keeper, why);
		/* The attempts that it tells of are over: with the next change, or at its end.
		 */
	}
	if (r == CUSTODY_OK && m->dirty)
		mail_save(m);
	else
		mail_idle(m);
}

void
mail_save(struct mail *m)
{
	m->dirty = true;
	/* What is being told is not told before its notice is in the store. */
	if (m->place != MAIL_STORED || m->saving || m->telling)
		return;
	struct save *s = MEM_NEW(struct save);
	s->mail = m;
	buf_init(&s->note, CUSTODY_NOTE_MOST);
	must(stored_note_pack(&m->note, &s->note) == 0);
	m->dirty = false;
	m->saving = true;
	m->users++;
	struct custody_change change = {
		.op = CUSTODY_NOTE, .id = m->id, .note = buf_slice(&s->note)};
	custody_commit(m->keeper->custody, &change, 1, on_saved, s);
}

/* Drops of one turn travel together. What is not dropped would be sent again after a restart:
 * asked for until it is. */
struct drop_batch {
	struct keeper *keeper;
	struct loop_task task;
	struct custody_id *ids;
	size_t n, room;
	struct custody_id *under_way;
	size_t n_under_way;
};

static void drops_flush(void *arg);

static void
on_dropped(void *arg, enum custody_result r, struct slice why)
{
	struct drop_batch *b = arg;
	if (r != CUSTODY_OK) {
		store_failed(b->keeper, why);
		for (size_t i = 0; i < b->n_under_way; i++)
			drops_add(b->keeper, &b->under_way[i]);
		loop_task_clear(&b->task); /* drops_again, when the store works */
	}
	mem_free(b->under_way);
	b->under_way = NULL;
	b->n_under_way = 0;
	if (b->n != 0 && r == CUSTODY_OK)
		drops_flush(b);
}

static void
drops_flush(void *arg)
{
	struct drop_batch *b = arg;
	if (b->under_way != NULL || b->n == 0)
		return;
	size_t n = b->n < CUSTODY_CHANGES_MOST ? b->n : CUSTODY_CHANGES_MOST;
	struct custody_change *changes = mem_array(n, sizeof(*changes));
	b->under_way = mem_array(n, sizeof(*b->under_way));
	b->n_under_way = n;
	b->n -= n;
	for (size_t i = 0; i < n; i++) { /* from the end: order does not matter */
		b->under_way[i] = b->ids[b->n + i];
		changes[i] = (struct custody_change){.op = CUSTODY_DROP, .id = b->under_way[i]};
	}
	custody_commit(b->keeper->custody, changes, n, on_dropped, b);
	mem_free(changes);
}

void
drops_add(struct keeper *k, const struct custody_id *id)
{
	struct drop_batch *b = k->drops;
	if (b == NULL) {
		b = k->drops = MEM_NEW(struct drop_batch);
		b->keeper = k;
		loop_task_init(&b->task, k->loop, drops_flush, b);
	}
	if (b->n == b->room) {
		b->room = b->room != 0 ? 2 * b->room : DROPS_FIRST;
		b->ids = mem_resize(b->ids, b->room * sizeof(*b->ids));
	}
	b->ids[b->n++] = *id;
	loop_task_queue(&b->task);
}

void
drops_again(struct keeper *k)
{
	if (k->drops != NULL)
		drops_flush(k->drops);
}

/* A mail that is through may still be read from the store: nobody may take it up again. */
bool
drops_has(const struct keeper *k, const struct custody_id *id)
{
	const struct drop_batch *b = k->drops;
	for (size_t i = 0; b != NULL && i < b->n; i++)
		if (custody_id_eq(&b->ids[i], id))
			return true;
	for (size_t i = 0; b != NULL && i < b->n_under_way; i++)
		if (custody_id_eq(&b->under_way[i], id))
			return true;
	return false;
}

bool
drops_open(const struct keeper *k)
{
	return k->drops != NULL && (k->drops->n != 0 || k->drops->under_way != NULL);
}

void
drops_close(struct keeper *k)
{
	if (k->drops == NULL)
		return;
	loop_task_clear(&k->drops->task);
	mem_free(k->drops->ids);
	mem_free(k->drops->under_way);
	mem_free(k->drops);
	k->drops = NULL;
}
