# What is installed beside the programs: manual pages, a first configuration and the sample, the
# rules of failures, the scripts that teach the spam filter, the systemd unit with its account and
# folders.

# Pages are printed by the program whose tables they show.
add_custom_command(OUTPUT postern.conf.5 VERBATIM DEPENDS postern
	COMMAND sh -c "\"$0\" manual > postern.conf.5" "$<TARGET_FILE:postern>")
add_custom_command(OUTPUT posternd.8 VERBATIM DEPENDS postern gateway/main/posternd.8
	COMMAND sh -c "{ cat \"$1\" && \"$0\" manual events; } > posternd.8"
		"$<TARGET_FILE:postern>" "${CMAKE_SOURCE_DIR}/gateway/main/posternd.8")
add_custom_target(manual ALL DEPENDS postern.conf.5 posternd.8)
install(FILES gateway/main/postern.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES "${CMAKE_BINARY_DIR}/postern.conf.5" DESTINATION "${CMAKE_INSTALL_MANDIR}/man5")
install(FILES "${CMAKE_BINARY_DIR}/posternd.8" DESTINATION "${CMAKE_INSTALL_MANDIR}/man8")
install(FILES gateway/delivery/failure.rules DESTINATION "${CMAKE_INSTALL_DATADIR}/postern")
install(FILES conf/sample.conf contrib/first.conf DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(PROGRAMS contrib/learn-imap contrib/learn-forwarded
	DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/postern")
install(FILES contrib/learning.py DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/postern")
install(DIRECTORY conf/samples DESTINATION "${CMAKE_INSTALL_DOCDIR}" FILES_MATCHING PATTERN "*.conf")

# systemd looks below /usr/local/lib as below /usr/lib; the unit names posternd by its full path.
configure_file(contrib/systemd/postern.service.in postern.service @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/postern.service" DESTINATION lib/systemd/system)
install(FILES contrib/systemd/postern.sysusers DESTINATION lib/sysusers.d RENAME postern.conf)
install(FILES contrib/systemd/postern.tmpfiles DESTINATION lib/tmpfiles.d RENAME postern.conf)
