# What a build must not be able to do; if it can, it fails.
for path in @DIR@/keys/builder.key @DIR@/secrets/. @DIR@/identities.json @DIR@/tester/. @DIR@/volumes/.; do
  if ls "$path" 2>/dev/null || cat "$path" 2>/dev/null; then echo "can read $path"; exit 9; fi
done
if python3 -c "import socket; socket.create_connection(('127.0.0.1', @FRONT@), timeout=1)" 2>/dev/null; then
  echo "can reach front"; exit 9
fi
# A report from the build, green: the suite's own workspace does not have it.
echo "<testsuite name='e2e'><testcase classname='e2e' name='made up'/></testsuite>" > e2e.xml
mkdir -p out
echo "<testsuite name='liar'><testcase classname='liar' name='made up'/></testsuite>" > liar.xml
