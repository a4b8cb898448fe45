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

enum { ATTACHMENT_LEAST = 4 + 4 + 8 + 1, REPORT_ROOM = 96 * 1024, TYPE_MOST = 80 };

/* What was found, and that it is not all where names do not fit: a rule must not miss them. */
static bool
names_fit(const struct scan_report *r)
{
	size_t room = REPORT_ROOM;
	for (size_t i = 0; i < r->n_attachments; i++) {
		size_t n = scan_name(r->attachments[i].name).n +
			   slice_first(r->attachments[i].type, TYPE_MOST).n;
		if (i == SCAN_ATTACHMENTS_MOST || n > room)
			return false;
		room -= n;
	}
	return true;
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
	for (size_t i = 0; i < SCAN_PATTERNS_MOST; i++)
		ipc_put_u32(out, r->patterns[i]);
	ipc_put_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		const struct scan_attachment *a = &r->attachments[i];
		struct slice name = scan_name(a->name);
		struct slice type = slice_first(a->type, TYPE_MOST);
		if (name.n + type.n > room) /* a thousand longest names */
			name = type = SLICE_NONE;
		room -= name.n + type.n;
		ipc_put_slice(out, name);
		ipc_put_slice(out, type);
		ipc_put_u64(out, a->bytes);
		ipc_put_u8(out, (uint8_t)(a->depth < 255 ? a->depth : 255));
	}
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
	for (size_t i = 0; i < SCAN_PATTERNS_MOST; i++)
		r_out->patterns[i] = ipc_get_u32(&in);
	size_t n = ipc_get_count(&in, SCAN_ATTACHMENTS_MOST, ATTACHMENT_LEAST);
	r_out->attachments = arena_array(a, n, sizeof(*r_out->attachments));
	for (size_t i = 0; i < n; i++) {
		struct scan_attachment *t = &r_out->attachments[i];
		t->name = arena_slice(a, slice_first(ipc_get_slice(&in), SCAN_NAME_MOST));
		t->type = arena_slice(a, slice_first(ipc_get_slice(&in), SCAN_NAME_MOST));
		t->bytes = ipc_get_u64(&in);
		t->depth = ipc_get_u8(&in);
	}
	r_out->n_attachments = n;
	return ipc_in_done(&in);
}
