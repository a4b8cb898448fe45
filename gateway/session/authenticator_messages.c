/*
 * The steps of AUTH between a session and the authenticator, packed. What is unpacked is
 * checked as strictly as what comes from the network.
 */
#include "session/authenticator.h"

void
auth_step_pack(const struct auth_step *s, struct ipc_out *out)
{
	ipc_put_u64(out, s->conversation);
	ipc_put_u16(out, (uint16_t)s->listener);
	ipc_put_bool(out, s->first);
	ipc_put_slice(out, s->mechanism);
	ipc_put_bool(out, s->has_data);
	ipc_put_slice(out, s->data);
}

bool
auth_step_unpack(struct slice payload, struct auth_step *s_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	s_out->conversation = ipc_get_u64(&in);
	s_out->listener = ipc_get_u16(&in);
	s_out->first = ipc_get_bool(&in);
	s_out->mechanism = ipc_get_slice(&in);
	s_out->has_data = ipc_get_bool(&in);
	s_out->data = ipc_get_slice(&in);
	return ipc_in_done(&in) && s_out->data.n <= AUTH_DATA_MOST && s_out->mechanism.n <= 32;
}

void
auth_result_pack(const struct auth_result *r, struct ipc_out *out)
{
	ipc_put_u8(out, (uint8_t)r->outcome);
	ipc_put_slice(out, slice_first(r->text, AUTH_DATA_MOST));
}

bool
auth_result_unpack(struct slice payload, struct auth_result *r_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	r_out->outcome = (enum auth_outcome)ipc_get_enum(&in, AUTH_BROKEN + 1);
	r_out->text = ipc_get_slice(&in);
	return ipc_in_done(&in);
}
