/*
 * Jobs and plans of `append`, packed; see append_messages.h. A plan is checked against the mail
 * that it is for: what the session carries out stays inside of it.
 */
#include "scan/append_messages.h"

#include "base/must.h"
#include "scan/messages.h"

void
append_job_pack(const struct append_job *j, struct ipc_out *out)
{
	ipc_put_slice(out, j->text);
	ipc_put_slice(out, j->html);
	ipc_put_u64(out, j->bytes);
	ipc_put_slice(out, j->body);
}

bool
append_job_unpack(struct slice payload, bool has_fd, struct append_job *j)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	j->text = ipc_get_slice(&in);
	j->html = ipc_get_slice(&in);
	j->bytes = ipc_get_u64(&in);
	j->body = ipc_get_slice(&in);
	if (!ipc_in_done(&in) || j->text.n == 0 || j->text.n > APPEND_TEXT_MOST ||
		j->html.n > APPEND_TEXT_MOST || j->body.n > SCAN_INLINE_BYTES)
		return false;
	return has_fd ? j->body.n == 0 && j->bytes <= INT64_MAX : j->body.n == j->bytes;
}

void
append_plan_pack(const struct append_plan *p, struct ipc_out *out)
{
	uint64_t inserted = 0;
	must(p->n <= APPEND_SPLICES_MOST);
	ipc_put_u8(out, (uint8_t)p->status);
	ipc_put_slice(out, slice_first(p->why, APPEND_WHY_MOST));
	ipc_put_u32(out, (uint32_t)p->n);
	for (size_t i = 0; i < p->n; i++) {
		ipc_put_u64(out, p->splices[i].at);
		ipc_put_u64(out, p->splices[i].cut);
		ipc_put_slice(out, p->splices[i].insert);
		inserted += p->splices[i].insert.n;
	}
	must(inserted <= APPEND_INSERT_MOST);
}

bool
append_plan_unpack(struct slice payload, uint64_t bytes, struct arena *a, struct append_plan *p)
{
	struct ipc_in in;
	uint64_t end = 0, inserted = 0;
	ipc_in_init(&in, payload);
	*p = (struct append_plan){
		.status = (enum append_status)ipc_get_enum(&in, APPEND_STATUSES)};
	p->why = arena_slice(a, slice_first(ipc_get_slice(&in), APPEND_WHY_MOST));
	size_t n = ipc_get_count(&in, APPEND_SPLICES_MOST, 8 + 8 + 4);
	p->splices = arena_array(a, n + 1, sizeof(*p->splices));
	for (size_t i = 0; i < n && !in.bad; i++) {
		struct append_splice *s = &p->splices[p->n++];
		s->at = ipc_get_u64(&in);
		s->cut = ipc_get_u64(&in);
		s->insert = ipc_get_slice(&in);
		inserted += s->insert.n;
		if (in.bad || s->at > bytes || s->cut > bytes - s->at ||
			(i > 0 && s->at <= end) || inserted > APPEND_INSERT_MOST)
			return false;
		s->insert = arena_slice(a, s->insert);
		end = s->at + s->cut;
	}
	return ipc_in_done(&in) && (p->status == APPEND_DONE) == (p->n != 0);
}
