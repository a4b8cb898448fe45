/*
 * Help for the tests of messages between processes; see payload.h.
 */
#include "payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed.h"

struct slice
payload_taken(struct ipc_out *out, struct arena *a)
{
	struct slice payload;
	assert_true(ipc_out_ok(out, &payload));
	payload = arena_slice(a, payload);
	ipc_out_fini(out);
	return payload;
}

void
payload_check_cuts(struct slice payload, payload_unpack_fn *unpack)
{
	struct guarded g = guarded_new(payload);
	assert_true(unpack(g.in));
	guarded_free(&g);
	for (size_t n = 0; n < payload.n; n++) {
		g = guarded_new(slice_first(payload, n));
		if (unpack(g.in))
			fail_msg("taken when cut at %zu of %zu", n, payload.n);
		guarded_free(&g);
	}
	assert_false(unpack((struct slice){payload.p, payload.n + 1}));
}
