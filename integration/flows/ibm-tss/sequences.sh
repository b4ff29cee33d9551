printf 'a message' >message
tsshash -hi o -halg sha256 -if message -oh digest
[ "$(xxd -p -c 64 digest)" = "$(sha256sum message | cut -d ' ' -f 1)" ]
tsshashsequencestart -halg sha384 -pwda word
tsssequenceupdate -hs 80000000 -pwds word -if message
tsssequencecomplete -hs 80000000 -pwds word -if message -of digest
[ "$(xxd -p -c 96 digest)" = "$(cat message message | sha384sum | cut -d ' ' -f 1)" ]
