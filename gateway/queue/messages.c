/*
 * Transactions and results as bytes between a session and the keeper; see messages.h. What is
 * unpacked is checked as strictly as what comes from the network: the other process may be
 * broken.
 *
 * The parcels of a transaction share most of their bytes (the same body under other header
 * lines): a piece that stands in memory is packed once and named by its place afterwards, among
 * the PIECES that were used last, which the reader remembers too.
 */
#include "queue/messages.h"

#include <unistd.h>

#include "base/must.h"
#include "io/memfile.h"
#include "relay/pack.h"

enum { QUEUE_HAS_FILE = 1, QUEUE_IS_LARGE = 2, QUEUE_FLAGS = 4 };
enum {
	PIECES = 128, /* a place is one byte */
	CLIENT_MOST = 512,
	HOST_MOST = 512,
	REPLY_TEXT_MOST = 4096, /* of a parcel, of a result */
	RESULT_RCPTS_MOST = 1000,
	RESULT_TEXT_BYTES = 16 * 1024, /* words of all recipients' replies */
	PARCEL_LEAST = 15,             /* bytes of a parcel, at the least */
	/* The most that one parcel takes out of an arena: its recipients, its parts. */
	PARCEL_ROOM = STORED_RCPTS_MOST * sizeof(struct stored_rcpt) +
		      3 * RELAY_PARTS_MOST * sizeof(struct relay_part) + 64 * 1024,
};
static const uint64_t range_most = UINT64_C(1) << 62;

enum part_kind { PART_NEW, PART_AGAIN, PART_FILE, PART_KINDS };

/* Those that were used last: both sides put the same one out for a new one. */
struct pieces {
	struct piece {
		struct slice bytes;
		uint64_t used; /* 0: the place is free */
	} last[PIECES];
	uint64_t uses;
};

static void
piece_used(struct pieces *p, size_t at)
{
	p->last[at].used = ++p->uses;
}

static void
piece_add(struct pieces *p, struct slice bytes)
{
	size_t oldest = 0;
	for (size_t i = 1; i < PIECES; i++)
		if (p->last[i].used < p->last[oldest].used)
			oldest = i;
	p->last[oldest].bytes = bytes;
	piece_used(p, oldest);
}

const char *
queue_end_text(enum queue_end e)
{
	static const char *const texts[QUEUE_ENDS] = {[QUEUE_DELIVERED] = "delivered",
		[QUEUE_QUEUED] = "queued",
		[QUEUE_REFUSED] = "refused",
		[QUEUE_FAILED] = "failed",
		[QUEUE_PUT_OFF] = "put off",
		[QUEUE_FULL] = "full",
		[QUEUE_CANCELLED] = "cancelled"};
	return texts[e];
}

/* ---- packing a transaction ---- */

static size_t
find_piece(const struct pieces *p, struct slice bytes)
{
	for (size_t i = 0; i < PIECES && p->last[i].used != 0; i++)
		if (p->last[i].bytes.p == bytes.p && p->last[i].bytes.n == bytes.n)
			return i;
	return PIECES;
}

static void
put_memory(struct ipc_out *o, struct slice bytes, struct pieces *seen, uint64_t *memory)
{
	size_t at = find_piece(seen, bytes);
	if (at < PIECES) {
		ipc_put_u8(o, PART_AGAIN);
		ipc_put_u8(o, (uint8_t)at);
		piece_used(seen, at);
		return;
	}
	ipc_put_u8(o, PART_NEW);
	ipc_put_slice(o, bytes);
	piece_add(seen, bytes);
	*memory += bytes.n;
}

/* True: it has parts in the file. */
static bool
put_body(struct ipc_out *o, const struct relay_body *b, int file, struct pieces *seen,
	uint64_t *memory)
{
	bool in_file = false;
	ipc_put_u32(o, (uint32_t)b->n);
	for (size_t i = 0; i < b->n; i++) {
		const struct relay_part *p = &b->parts[i];
		if (p->fd < 0) {
			put_memory(o, p->bytes, seen, memory);
			continue;
		}
		must(p->fd == file); /* messages.h: one descriptor */
		in_file = true;
		ipc_put_u8(o, PART_FILE);
		ipc_put_u64(o, p->offset);
		ipc_put_u64(o, p->length);
	}
	return in_file;
}

static int
put_mail(struct ipc_out *o, const struct stored_mail *m, struct err *err)
{
	struct buf envelope;
	buf_init(&envelope, CUSTODY_ENVELOPE_MOST);
	int result = stored_mail_pack(m, &envelope);
	if (result < 0)
		err_set(err, "an envelope that cannot be stored");
	ipc_put_u32(o, (uint32_t)m->n_rcpts);
	ipc_put_slice(o, buf_slice(&envelope));
	buf_fini(&envelope);
	return result;
}

struct packed {
	bool has_file;
	uint64_t memory; /* bytes of the bodies that are in it */
};

static int
put_take(struct ipc_out *o, const struct queue_take *t, int file, struct packed *p_out,
	struct err *err)
{
	struct pieces seen = {.uses = 0};
	size_t n_rcpts = 0;
	*p_out = (struct packed){0};
	ipc_put_u32(o, t->budget_ms);
	ipc_put_bool(o, t->give_back);
	ipc_put_bool(o, t->hold);
	ipc_put_slice(o, slice_first(t->client, CLIENT_MOST));
	ipc_put_u32(o, (uint32_t)t->n);
	for (size_t i = 0; i < t->n; i++) {
		const struct queue_parcel *p = &t->parcels[i];
		n_rcpts += p->beside ? 0 : p->mail.n_rcpts;
		if (put_mail(o, &p->mail, err) < 0)
			return -1;
		ipc_put_bool(o, p->beside);
		ipc_put_bool(o, p->refused);
		if (p->refused)
			relay_put_reply(o, &p->reply, REPLY_TEXT_MOST);
		p_out->has_file |= put_body(o, &p->body, file, &seen, &p_out->memory);
	}
	if (n_rcpts > STORED_RCPTS_MOST)
		return err_set(err, "more than %d recipients in a mail", STORED_RCPTS_MOST);
	if (o->full)
		return err_set(err, "more than %d bytes in a transaction", QUEUE_LARGE_MOST);
	return 0;
}

int
queue_take_pack(const struct queue_take *t, int file, struct ipc_out *out,
	int fds_out[IPC_FDS_MOST], size_t *n_fds_out, int *large_out, struct err *err)
{
	struct ipc_out rest = {.full = false};
	struct packed packed;
	must(t->n > 0 && t->n <= QUEUE_PARCELS_MOST);
	*n_fds_out = 0;
	*large_out = -1;
	buf_init(&rest.buf, QUEUE_LARGE_MOST);
	int result = put_take(&rest, t, file, &packed, err);
	struct slice bytes = buf_slice(&rest.buf);
	bool large = packed.memory > QUEUE_INLINE_BYTES || bytes.n + 1 > IPC_PAYLOAD_BYTES;
	if (result == 0 && large) {
		*large_out = memfile_new("a large transaction", bytes, err);
		result = *large_out < 0 ? -1 : 0;
	}
	if (result == 0) {
		ipc_put_u8(out, (uint8_t)((packed.has_file ? QUEUE_HAS_FILE : 0) |
					  (large ? QUEUE_IS_LARGE : 0)));
		if (packed.has_file)
			fds_out[(*n_fds_out)++] = file;
		if (large)
			fds_out[(*n_fds_out)++] = *large_out;
		else
			must(buf_add(&out->buf, bytes) == 0);
	}
	ipc_out_fini(&rest);
	return result;
}

/* ---- unpacking it ---- */

static bool
get_part(struct ipc_in *in, int file, struct pieces *seen, struct relay_body *b)
{
	struct slice bytes = SLICE_NONE;
	switch ((enum part_kind)ipc_get_enum(in, PART_KINDS)) {
	case PART_NEW:
		bytes = ipc_get_slice(in);
		piece_add(seen, bytes);
		break;
	case PART_AGAIN: {
		uint8_t at = ipc_get_u8(in);
		if (at >= PIECES || seen->last[at].used == 0)
			return false;
		bytes = seen->last[at].bytes;
		piece_used(seen, at);
		break;
	}
	case PART_FILE: {
		uint64_t offset = ipc_get_u64(in), length = ipc_get_u64(in);
		return !in->bad && file >= 0 && length > 0 && offset <= range_most &&
		       length <= range_most &&
		       relay_body_add_file(b, file, offset, length) == 0;
	}
	case PART_KINDS: return false;
	}
	return !in->bad && relay_body_add(b, bytes) == 0;
}

static bool
get_body(
	struct ipc_in *in, int file, struct pieces *seen, struct arena *a, struct relay_body *b)
{
	relay_body_init(b, a);
	uint32_t n = ipc_get_count(in, RELAY_PARTS_MOST, 2);
	for (uint32_t i = 0; i < n; i++)
		if (!get_part(in, file, seen, b))
			return false;
	return !in->bad && b->bytes > 0;
}

static bool
get_parcel(struct ipc_in *in, int file, struct pieces *seen, struct arena *a,
	struct queue_parcel *p)
{
	if (arena_room(a) < PARCEL_ROOM)
		return false;
	uint32_t n_rcpts = ipc_get_count(in, STORED_RCPTS_MOST, 1);
	struct slice envelope = ipc_get_slice(in);
	if (in->bad || !stored_mail_unpack(envelope, a, &p->mail) || p->mail.n_rcpts != n_rcpts)
		return false;
	p->beside = ipc_get_bool(in);
	p->refused = ipc_get_bool(in);
	if (p->refused)
		relay_get_reply(in, a, &p->reply);
	return !in->bad && (!p->refused || (p->reply.code >= 400 && !p->beside)) &&
	       get_body(in, file, seen, a, &p->body);
}

static bool
get_take(struct slice bytes, int file, struct arena *a, struct queue_take *t)
{
	struct ipc_in in;
	struct pieces seen = {.uses = 0};
	size_t n_rcpts = 0;
	ipc_in_init(&in, bytes);
	t->budget_ms = ipc_get_u32(&in);
	t->give_back = ipc_get_bool(&in);
	t->hold = ipc_get_bool(&in);
	t->client = ipc_get_slice(&in); /* a key, never shown */
	t->n = ipc_get_count(&in, QUEUE_PARCELS_MOST, PARCEL_LEAST);
	if (in.bad || t->client.n > CLIENT_MOST || t->n == 0 ||
		arena_room(a) < t->n * sizeof(*t->parcels))
		return false;
	t->parcels = arena_array(a, t->n, sizeof(*t->parcels));
	bool own = false;
	for (size_t i = 0; i < t->n; i++) {
		if (!get_parcel(&in, file, &seen, a, &t->parcels[i]))
			return false;
		own = own || !t->parcels[i].beside;
		n_rcpts += t->parcels[i].beside ? 0 : t->parcels[i].mail.n_rcpts;
		if (n_rcpts > STORED_RCPTS_MOST)
			return false;
	}
	return own && ipc_in_done(&in);
}

static bool
take_bytes(struct ipc_msg *m, unsigned flags, struct arena *a, struct slice *bytes_out)
{
	struct slice rest = slice_from(m->payload, 1);
	if ((flags & QUEUE_IS_LARGE) == 0) {
		if (arena_room(a) < 2 * IPC_PAYLOAD_BYTES)
			return false;
		*bytes_out = arena_slice(a, rest);
		return true;
	}
	int large = ipc_take_fd(m, (flags & QUEUE_HAS_FILE) != 0 ? 1 : 0);
	bool ok = rest.n == 0 && large >= 0 &&
		  memfile_read(large, QUEUE_LARGE_MOST, a, bytes_out);
	if (large >= 0)
		close(large);
	return ok;
}

bool
queue_take_unpack(struct ipc_msg *m, struct arena *a, struct queue_take *t, int *file_out)
{
	struct slice bytes;
	*t = (struct queue_take){0};
	*file_out = -1;
	unsigned flags = m->payload.n > 0 ? (unsigned char)m->payload.p[0] : QUEUE_FLAGS;
	if (flags >= QUEUE_FLAGS || !take_bytes(m, flags, a, &bytes))
		return false;
	if ((flags & QUEUE_HAS_FILE) != 0 && (*file_out = ipc_take_fd(m, 0)) < 0)
		return false;
	if (get_take(bytes, *file_out, a, t))
		return true;
	if (*file_out >= 0)
		close(*file_out);
	*file_out = -1;
	return false;
}

/* ---- the result ---- */

static bool
is_same(const struct smtp_reply *a, const struct smtp_reply *b)
{
	return a->code == b->code && slice_eq(a->text, b->text) &&
	       a->has_enhanced == b->has_enhanced && a->enhanced[1] == b->enhanced[1] &&
	       a->enhanced[2] == b->enhanced[2];
}

/* Neighbours often fared alike: a reply is written once for all of them. */
static void
put_rcpts(struct ipc_out *o, const struct relay_rcpt *rcpts, size_t n)
{
	size_t text_most = RESULT_TEXT_BYTES / (n + 1);
	const struct smtp_reply *last = NULL;
	ipc_put_u32(o, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		bool same = last != NULL && is_same(&rcpts[i].reply, last);
		ipc_put_u8(o, (uint8_t)rcpts[i].fate);
		ipc_put_u8(o, (uint8_t)rcpts[i].phase);
		ipc_put_bool(o, same);
		if (!same)
			relay_put_reply(o, &rcpts[i].reply, text_most);
		last = &rcpts[i].reply;
	}
}

void
queue_result_pack(const struct queue_result *r, struct ipc_out *out)
{
	struct slice payload;
	ipc_put_u8(out, (uint8_t)r->end);
	relay_put_reply(out, &r->reply, REPLY_TEXT_MOST);
	ipc_put_bool(out, r->from_hop);
	ipc_put_slice(out, slice_first(r->hop, HOST_MOST));
	ipc_put_slice(out, slice_first(r->host, HOST_MOST));
	ipc_put_u32(out, r->delivered);
	ipc_put_u32(out, r->refused);
	ipc_put_u32(out, r->waiting);
	ipc_put_u32(out, r->kept);
	ipc_put_u32(out, r->notices);
	for (size_t i = 0; i < CUSTODY_ID_BYTES; i++)
		ipc_put_u8(out, r->id.bytes[i]);
	put_rcpts(out, r->rcpts, r->n_rcpts <= RESULT_RCPTS_MOST ? r->n_rcpts : 0);
	must(ipc_out_ok(out, &payload));
}

static void
get_rcpts(struct ipc_in *in, struct arena *a, struct queue_result *r)
{
	r->n_rcpts = ipc_get_count(in, RESULT_RCPTS_MOST, 3);
	r->rcpts = arena_array(a, r->n_rcpts + 1, sizeof(*r->rcpts));
	for (size_t i = 0; i < r->n_rcpts && !in->bad; i++) {
		struct relay_rcpt *rcpt = &r->rcpts[i];
		rcpt->fate = (enum relay_fate)ipc_get_enum(in, RELAY_DOUBT + 1);
		rcpt->phase = (enum smtp_client_phase)ipc_get_enum(in, SMTP_CL_CLOSED + 1);
		bool same = ipc_get_bool(in);
		if (!same)
			relay_get_reply_or_none(in, a, &rcpt->reply);
		else if (i > 0)
			rcpt->reply = r->rcpts[i - 1].reply;
		else
			in->bad = true;
	}
}

bool
queue_result_unpack(struct slice payload, struct arena *a, struct queue_result *r)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*r = (struct queue_result){.end = (enum queue_end)ipc_get_enum(&in, QUEUE_ENDS)};
	relay_get_reply(&in, a, &r->reply);
	r->from_hop = ipc_get_bool(&in);
	r->hop = relay_get_words(&in, HOST_MOST);
	r->host = relay_get_words(&in, HOST_MOST);
	r->delivered = ipc_get_u32(&in);
	r->refused = ipc_get_u32(&in);
	r->waiting = ipc_get_u32(&in);
	r->kept = ipc_get_u32(&in);
	r->notices = ipc_get_u32(&in);
	for (size_t i = 0; i < CUSTODY_ID_BYTES; i++)
		r->id.bytes[i] = ipc_get_u8(&in);
	get_rcpts(&in, a, r);
	return ipc_in_done(&in);
}
