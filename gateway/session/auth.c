/* One step of AUTH: asked of the process that alone reads the users' file. */
#include "session/process_priv.h"

void
authenticate(struct connection *c)
{
	gate_auth_failed(c->gate);
	connection_wake(c);
}
