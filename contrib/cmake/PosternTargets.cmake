# postern_library(NAME FOLDER [USES lower libraries] [LIBS libraries of others])
#
# Headers are included as "NAME/header.h". Each library has an include root of its own in the build
# tree that holds nothing but a link to its folder, so a target sees only what it says it uses.
function(postern_library name folder)
	cmake_parse_arguments(ARG "" "" "USES;LIBS" ${ARGN})
	set(root "${CMAKE_BINARY_DIR}/include/${name}")
	file(MAKE_DIRECTORY "${root}")
	file(CREATE_LINK "${CMAKE_SOURCE_DIR}/${folder}" "${root}/${name}" SYMBOLIC)
	file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.c")
	list(FILTER sources EXCLUDE REGEX "_main\\.c$")
	set(uses ${ARG_USES})
	list(TRANSFORM uses PREPEND postern_)
	set(present "")
	foreach(lower IN LISTS uses)
		if(TARGET ${lower})
			list(APPEND present ${lower})
		endif()
	endforeach()
	if(name STREQUAL "filters")
		postern_filter_table(table)
		postern_spam_model(model)
		list(APPEND sources ${table} ${model})
	endif()
	if(name STREQUAL "delivery")
		postern_failure_rules(rules)
		list(APPEND sources ${rules})
	endif()
	if(sources)
		add_library(postern_${name} STATIC ${sources})
		target_include_directories(postern_${name} PUBLIC "${root}")
		target_link_libraries(postern_${name} PUBLIC ${present} PRIVATE ${ARG_LIBS})
	else()
		add_library(postern_${name} INTERFACE)
		target_include_directories(postern_${name} INTERFACE "${root}")
		target_link_libraries(postern_${name} INTERFACE ${present})
	endif()
endfunction()

# A filter is one file, filters/flt_NAME.c, that defines `const struct filter flt_NAME`. The table
# of all filters is made from the folder, so that a new file is all there is to add.
function(postern_filter_table out)
	file(GLOB found CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}/filters" "filters/flt_*.c")
	set(declarations "")
	set(rows "")
	foreach(file IN LISTS found)
		string(REGEX REPLACE "\\.c$" "" filter "${file}")
		string(APPEND declarations "extern const struct filter ${filter};\n")
		string(APPEND rows "\t&${filter},\n")
	endforeach()
	set(path "${CMAKE_BINARY_DIR}/generated/filter_table.c")
	file(CONFIGURE OUTPUT "${path}" @ONLY CONTENT "/* Made by contrib/cmake/PosternTargets.cmake from filters/flt_*.c. */
#include \"filters/filter.h\"

${declarations}
const struct filter *const filter_table[] = {
${rows}\tNULL,
};
")
	set(${out} "${path}" PARENT_SCOPE)
endfunction()

# postern_built_in(FILE TYPE NAME HEADER OUT): a C file with the bytes of FILE as `const TYPE NAME[]` and their number as
# NAME_bytes, both declared in HEADER, so that no file has to be found at start.
function(postern_built_in file type name header out)
	set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${file}")
	file(READ "${CMAKE_SOURCE_DIR}/${file}" bytes HEX)
	string(REGEX REPLACE "(................................)" "\\1\n\t" bytes "${bytes}")
	string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
	set(path "${CMAKE_BINARY_DIR}/generated/${name}.c")
	file(CONFIGURE OUTPUT "${path}" @ONLY CONTENT "/* Made by contrib/cmake/PosternTargets.cmake from ${file}. */
#include \"${header}\"

const ${type} ${name}[] = {
	${bytes}
};
const size_t ${name}_bytes = sizeof(${name});
")
	set(${out} "${path}" PARENT_SCOPE)
endfunction()

# The rules for failed attempts, and the model of spam that is shipped.
function(postern_failure_rules out)
	postern_built_in(gateway/delivery/failure.rules char failure_builtin delivery/failure_priv.h path)
	set(${out} "${path}" PARENT_SCOPE)
endfunction()

function(postern_spam_model out)
	postern_built_in(filters/spam.model "unsigned char" spam_model_builtin filters/spam_shipped.h path)
	set(${out} "${path}" PARENT_SCOPE)
endfunction()

# postern_program(NAME FILE FOLDER library...): a binary in bin/, its main alone in FILE; FOLDER is
# where it is installed.
function(postern_program name file folder)
	list(TRANSFORM ARGN PREPEND postern_ OUTPUT_VARIABLE libraries)
	add_executable(${name} "${file}")
	target_link_libraries(${name} PRIVATE ${libraries})
	install(TARGETS ${name} RUNTIME DESTINATION "${folder}")
endfunction()

# postern_test(FILE): tests/unit/<folder>_<module>_test.c is linked with its folder's library.
function(postern_test file)
	get_filename_component(test "${file}" NAME_WE)
	string(REGEX REPLACE "_.*$" "" folder "${test}")
	add_executable(${test} "${file}")
	target_link_libraries(${test} PRIVATE postern_${folder} postern_testlib PkgConfig::CMOCKA OpenSSL::Crypto)
	add_test(NAME unit/${test} COMMAND ${test})
	set_tests_properties(unit/${test} PROPERTIES TIMEOUT 120 SKIP_REGULAR_EXPRESSION "SKIPPED: no " ENVIRONMENT
		"POSTERN_SOURCE=${CMAKE_SOURCE_DIR};POSTERN_SUITES=${POSTERN_SUITES}")
endfunction()

# postern_fuzz(FILE): tests/fuzz/<folder>_<what>_fuzz.c; under the preset `fuzz` a libFuzzer binary,
# elsewhere a program that replays tests/fuzz/corpus/<folder>_<what>/.
function(postern_fuzz file)
	get_filename_component(fuzz "${file}" NAME_WE)
	string(REGEX REPLACE "_.*$" "" folder "${fuzz}")
	string(REGEX REPLACE "_fuzz$" "" what "${fuzz}")
	if(POSTERN_FUZZ)
		add_executable(${fuzz} "${file}")
		target_link_options(${fuzz} PRIVATE -fsanitize=fuzzer)
	else()
		add_executable(${fuzz} "${file}" replay.c)
	endif()
	target_link_libraries(${fuzz} PRIVATE postern_${folder})
	if(NOT POSTERN_FUZZ)
		add_test(NAME fuzz/${what} COMMAND ${fuzz} "${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${what}")
		set_tests_properties(fuzz/${what} PROPERTIES TIMEOUT 120)
	endif()
endfunction()
