/*
 * Any bytes as a configuration: read as a file is (through a memory file), reported, printed
 * and freed. A snapshot comes exactly where the report has no error.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "conf/conf.h"

enum { TEXT_MOST = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	struct conf_report r;
	int fd = memfd_create("conf", MFD_CLOEXEC);
	must(fd >= 0);
	must(write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf_report_init(&r);
	struct conf *c = conf_read(path, &r);
	must((c != NULL) == (r.n_errors == 0));
	struct arena *a = arena_new(TEXT_MOST);
	conf_report_text(&r, a);
	arena_free(&a);
	conf_free(&c);
	conf_report_fini(&r);
	close(fd);
	return 0;
}
