tssnvdefinespace -hi o -ha 01500001 -sz 16 -pwdn word
printf '0123456789abcdef' >data
tssnvwrite -ha 01500001 -pwdn word -if data
tssnvread -ha 01500001 -pwdn word -sz 16 -of back
cmp data back
refused TPM_RC_BAD_AUTH tssnvread -ha 01500001 -pwdn wrong -sz 16
tssnvundefinespace -hi o -ha 01500001
