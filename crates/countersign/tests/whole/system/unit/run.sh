# Three cases on the source tree, as JUnit.
result=0
check() { if [ "$2" = 0 ]; then echo "<testcase classname='unit' name='$1'/>"; else
  result=1; echo "<testcase classname='unit' name='$1'><failure message='no'/></testcase>"; fi; }
{
  echo "<testsuite name='unit'>"
  for script in counter.sh list.sh web.sh; do /bin/sh -n $script; check $script $?; done
  echo "</testsuite>"
} > unit.xml
exit $result
