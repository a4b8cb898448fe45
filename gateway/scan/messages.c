/*
 * Mails to the scanner and reports back, packed; see messages.h. Both sides take the other for
 * broken: each count and length is checked against what is there.
 */
#include "scan/messages.h"

void
scan_job_pack(const struct scan_job *j, struct ipc_out *out)
{
	ipc_put_u8(out, (uint8_t)j->want);
	ipc_put_u8(out, (uint8_t)j->set);
	ipc_put_u64(out, j->bytes);
	ipc_put_slice(out, j->body);
}

bool
scan_job_unpack(struct slice payload, bool has_fd, struct scan_job *j_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	j_out->want = ipc_get_enum(&in, SCAN_WANT_ALL + 1);
	j_out->set = ipc_get_enum(&in, 2);
	j_out->bytes = ipc_get_u64(&in);
	j_out->body = ipc_get_slice(&in);
	if (!ipc_in_done(&in) || j_out->want == 0 || j_out->body.n > SCAN_INLINE_BYTES)
		return false;
	return has_fd ? j_out->body.n == 0 && j_out->bytes <= INT64_MAX
		      : j_out->body.n == j_out->bytes;
}

enum {
	ATTACHMENT_LEAST = 4 + 4 + 8 + 1 + 1,
	REPORT_ROOM = 96 * 1024, /* of names, types and hashes */
	TYPE_MOST = 80,
	HASH_BYTES = sizeof(((struct scan_attachment *)0)->sha256),
};
enum { ATTACHMENT_ENCRYPTED = 1, ATTACHMENT_HASHED = 2, ATTACHMENT_FLAGS = 4 };

/* What was found, and that it is not all where names do not fit: a rule must not miss them. */
static bool
names_fit(const struct scan_report *r)
{
	size_t room = REPORT_ROOM;
	for (size_t i = 0; i < r->n_attachments; i++) {
		size_t n = scan_name(r->attachments[i].name).n +
			   slice_first(r->attachments[i].type, TYPE_MOST).n +
			   (r->attachments[i].hashed ? HASH_BYTES : 0);
		if (i == SCAN_ATTACHMENTS_MOST || n > room)
			return false;
		room -= n;
	}
	return true;
}

static void
pack_attachment(const struct scan_attachment *a, size_t *room, struct ipc_out *out)
{
	struct slice name = scan_name(a->name);
	struct slice type = slice_first(a->type, TYPE_MOST);
	bool hashed = a->hashed && name.n + type.n + HASH_BYTES <= *room;
	if (name.n + type.n > *room) /* a thousand longest names */
		name = type = SLICE_NONE;
	*room -= name.n + type.n + (hashed ? HASH_BYTES : 0);
	ipc_put_slice(out, name);
	ipc_put_slice(out, type);
	ipc_put_u64(out, a->bytes);
	ipc_put_u8(out, (uint8_t)(a->depth < 255 ? a->depth : 255));
	ipc_put_u8(out, (uint8_t)((a->encrypted ? ATTACHMENT_ENCRYPTED : 0) |
				  (hashed ? ATTACHMENT_HASHED : 0)));
	for (size_t i = 0; hashed && i < HASH_BYTES; i++)
		ipc_put_u8(out, a->sha256[i]);
}

void
scan_report_pack(const struct scan_report *r, struct ipc_out *out)
{
	size_t n = r->n_attachments < SCAN_ATTACHMENTS_MOST ? r->n_attachments
							    : SCAN_ATTACHMENTS_MOST;
	size_t room = REPORT_ROOM;
	bool cut = r->status == SCAN_CLEAN && !names_fit(r);
	ipc_put_u8(out, (uint8_t)(cut ? SCAN_UNSCANNABLE : r->status));
	ipc_put_slice(out, slice_first(r->virus, SCAN_NAME_MOST));
	ipc_put_slice(out, cut ? SLICE("more names of attachments than a report takes")
			       : slice_first(r->why, SCAN_NAME_MOST));
	ipc_put_u8(out, (uint8_t)(cut ? SCAN_REASON_PARTS : r->reason));
	ipc_put_bool(out, r->text_unread);
	ipc_put_slice(out, slice_first(r->unread_why, SCAN_NAME_MOST));
	ipc_put_bool(out, r->encrypted);
	ipc_put_u64(out, r->signatures);
	for (size_t i = 0; i < SCAN_PATTERNS_MOST; i++)
		ipc_put_u32(out, r->patterns[i]);
	ipc_put_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		pack_attachment(&r->attachments[i], &room, out);
}

static void
unpack_attachment(struct ipc_in *in, struct arena *a, struct scan_attachment *t)
{
	t->name = arena_slice(a, slice_first(ipc_get_slice(in), SCAN_NAME_MOST));
	t->type = arena_slice(a, slice_first(ipc_get_slice(in), SCAN_NAME_MOST));
	t->bytes = ipc_get_u64(in);
	t->depth = ipc_get_u8(in);
	unsigned flags = ipc_get_enum(in, ATTACHMENT_FLAGS);
	t->encrypted = (flags & ATTACHMENT_ENCRYPTED) != 0;
	t->hashed = (flags & ATTACHMENT_HASHED) != 0;
	for (size_t i = 0; t->hashed && i < HASH_BYTES; i++)
		t->sha256[i] = ipc_get_u8(in);
}

bool
scan_report_unpack(struct slice payload, struct arena *a, struct scan_report *r_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*r_out = (struct scan_report){
		.status = (enum scan_status)ipc_get_enum(&in, SCAN_UNSCANNABLE + 1)};
	r_out->virus = arena_slice(a, slice_first(ipc_get_slice(&in), SCAN_NAME_MOST));
	r_out->why = arena_slice(a, slice_first(ipc_get_slice(&in), SCAN_NAME_MOST));
	r_out->reason = (enum scan_reason)ipc_get_enum(&in, SCAN_REASONS);
	r_out->text_unread = ipc_get_bool(&in);
	r_out->unread_why = arena_slice(a, slice_first(ipc_get_slice(&in), SCAN_NAME_MOST));
	r_out->encrypted = ipc_get_bool(&in);
	r_out->signatures = ipc_get_u64(&in);
	for (size_t i = 0; i < SCAN_PATTERNS_MOST; i++)
		r_out->patterns[i] = ipc_get_u32(&in);
	size_t n = ipc_get_count(&in, SCAN_ATTACHMENTS_MOST, ATTACHMENT_LEAST);
	r_out->attachments = arena_array(a, n, sizeof(*r_out->attachments));
	for (size_t i = 0; i < n; i++)
		unpack_attachment(&in, a, &r_out->attachments[i]);
	r_out->n_attachments = n;
	return ipc_in_done(&in);
}
