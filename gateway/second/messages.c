/*
 * Runs of the second engines and their outputs, packed; see messages.h. Both sides take the
 * other for broken: each count and length is checked against what is there.
 */
#include "second/messages.h"

bool
second_engine_find(struct slice name, enum second_engine *engine_out)
{
	static const char *const names[SECOND_ENGINES] = {
		[SECOND_SPF2] = "libspf2", [SECOND_OPENDKIM] = "libopendkim"};
	for (unsigned i = 0; i < SECOND_ENGINES; i++) {
		if (!slice_eq(name, slice_of(names[i])))
			continue;
		*engine_out = (enum second_engine)i;
		return true;
	}
	return false;
}

void
second_job_pack(const struct second_job *j, struct ipc_out *out)
{
	ipc_put_u8(out, (uint8_t)j->engine);
	ipc_put_slice(out, j->input);
	ipc_put_u64(out, j->bytes);
	ipc_put_slice(out, j->body);
}

bool
second_job_unpack(struct slice payload, bool has_fd, struct second_job *j_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	j_out->engine = (enum second_engine)ipc_get_enum(&in, SECOND_ENGINES);
	j_out->input = ipc_get_slice(&in);
	j_out->bytes = ipc_get_u64(&in);
	j_out->body = ipc_get_slice(&in);
	if (!ipc_in_done(&in) || j_out->body.n > SECOND_INLINE_BYTES)
		return false;
	if (j_out->engine != SECOND_OPENDKIM)
		return !has_fd && j_out->bytes == 0 && j_out->body.n == 0;
	return has_fd ? j_out->body.n == 0 && j_out->bytes <= INT64_MAX
		      : j_out->body.n == j_out->bytes;
}

void
second_output_pack(struct slice output, struct ipc_out *out)
{
	ipc_put_slice(out, output);
}

bool
second_output_unpack(struct slice payload, struct slice *output_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*output_out = ipc_get_slice(&in);
	return ipc_in_done(&in);
}
