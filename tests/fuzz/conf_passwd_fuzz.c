/* Any bytes as a line of the users' file: what is taken is written again as the same entry. */
#include "base/must.h"
#include "conf/passwd.h"

enum { ARENA_MOST = 1 << 20, LINE_MOST = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(ARENA_MOST);
	struct slice line = {(const char *)data, size < LINE_MOST ? size : LINE_MOST};
	struct passwd_entry e, again;
	if (passwd_parse(line, a, &e) == NULL) {
		struct slice text = passwd_line(&e, a);
		must(passwd_parse(text, a, &again) == NULL);
		must(slice_eq(e.name, again.name) && slice_eq(e.crypt, again.crypt));
		must(e.has_scram == again.has_scram && slice_eq(e.salt, again.salt));
		must(slice_eq(e.stored_key, again.stored_key));
		must(!slice_has(text, '\n'));
	}
	arena_free(&a);
	return 0;
}
