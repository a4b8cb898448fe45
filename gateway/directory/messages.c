/*
 * A look-up and its answer, packed. Between ask.c of a session and directory.c here; what is
 * unpacked is checked as strictly as what comes from the network.
 */
#include "directory/messages.h"

void
directory_lookup_pack(const struct directory_lookup *l, struct ipc_out *out)
{
	ipc_put_slice(out, l->table);
	ipc_put_slice(out, l->value);
}

bool
directory_lookup_unpack(struct slice payload, struct directory_lookup *l_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	l_out->table = ipc_get_slice(&in);
	l_out->value = ipc_get_slice(&in);
	return ipc_in_done(&in) && l_out->table.n <= DIRECTORY_TABLE_MOST &&
	       l_out->value.n <= DIRECTORY_VALUE_MOST;
}

void
directory_answer_pack(const struct directory_answer *a, struct ipc_out *out)
{
	ipc_put_u8(out, (uint8_t)a->found);
	ipc_put_slice(out, slice_first(a->why, DIRECTORY_WHY_MOST));
}

bool
directory_answer_unpack(struct slice payload, struct directory_answer *a_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	a_out->found = (enum directory_found)ipc_get_enum(&in, DIRECTORY_FAILED + 1);
	a_out->why = ipc_get_slice(&in);
	return ipc_in_done(&in) && a_out->why.n <= DIRECTORY_WHY_MOST;
}
