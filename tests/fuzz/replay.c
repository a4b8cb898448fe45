/*
 * Replays a corpus folder through a fuzz target where libFuzzer is not there: ctest runs it in
 * every build, so that what once broke a parser is tried again for ever.
 */
#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
replay_file(const char *dir, const char *name)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		err(1, "%s", path);
	struct stat st;
	if (fstat(fileno(f), &st) < 0)
		err(1, "%s", path);
	size_t n = (size_t)st.st_size;
	uint8_t *data = calloc(1, n != 0 ? n : 1); /* exact size: ASan sees one byte too far */
	if (data == NULL || fread(data, 1, n, f) != n)
		err(1, "%s", path);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
}

int
main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: %s CORPUS-FOLDER", argv[0]);
	DIR *d = opendir(argv[1]);
	if (d == NULL)
		err(1, "%s", argv[1]);
	int count = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		replay_file(argv[1], e->d_name);
		count++;
	}
	closedir(d);
	if (count == 0)
		errx(1, "%s is empty: nothing was replayed", argv[1]);
	printf("%d inputs\n", count);
	return 0;
}
