/*
 * FlinkJob: runs SQL statements on a Flink in this process, one slot, and counts a job's rows until a deadline.
 *
 *   java -cp CLASSES:JARS FlinkJob SECONDS FILE in|out OPERATOR
 *
 * FILE has statements that end with ";" at a line's end; the last one is an INSERT, the job. It runs until SECONDS after its first
 * row, or until it has ended, and is then cancelled. Counted are the rows that come into, or go out of, the operator whose name
 * contains OPERATOR: a counter of Flink's own, read through a metric reporter. Printed on standard output, a line each:
 *
 *   at SECONDS ROWS       every second since the first row
 *   counted ROWS SECONDS  at the end
 *
 * What Flink is given: parallelism 1, its heap state backend, objects reused between operators, no checkpoints. None of them makes it
 * slower than a job in production.
 */
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.Map;
import java.util.Properties;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.reporter.MetricReporter;
import org.apache.flink.metrics.reporter.MetricReporterFactory;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

public class FlinkJob {
	/** The rows of each operator that go the way that is asked for, by the operator's name. */
	static final Map<String, Counter> rows = new ConcurrentHashMap<>();
	static String metricOfRows;

	/** Flink finds it by the name in META-INF/services, which scripts/flink writes. */
	public static class Reporter implements MetricReporter, MetricReporterFactory {
		@Override
		public MetricReporter createMetricReporter(Properties properties) {
			return this;
		}

		@Override
		public void open(MetricConfig config) {}

		@Override
		public void close() {}

		@Override
		public void notifyOfAddedMetric(Metric metric, String name, MetricGroup group) {
			String operator = group.getAllVariables().get("<operator_name>");

			if (operator != null && name.equals(metricOfRows))
				rows.put(operator, (Counter) metric);
		}

		@Override
		public void notifyOfRemovedMetric(Metric metric, String name, MetricGroup group) {}
	}

	static Configuration configuration() {
		Configuration conf = new Configuration();

		conf.setString("metrics.reporters", "counts");
		conf.setString("metrics.reporter.counts.factory.class", Reporter.class.getName());
		conf.setString("parallelism.default", "1");
		conf.setString("taskmanager.numberOfTaskSlots", "1");
		conf.setString("state.backend.type", "hashmap");
		conf.setString("pipeline.object-reuse", "true");
		conf.setString("table.local-time-zone", "UTC");
		return conf;
	}

	/** The operator's counter is there once the job's tasks have started. */
	static long counted(String operator) {
		for (Map.Entry<String, Counter> entry : rows.entrySet())
			if (entry.getKey().contains(operator))
				return entry.getValue().getCount();
		return 0;
	}

	static boolean ended(JobClient job, long milliseconds) throws Exception {
		try {
			job.getJobExecutionResult().get(milliseconds, TimeUnit.MILLISECONDS);
			return true;
		} catch (TimeoutException notYet) {
			return false;
		}
	}

	static void await(JobClient job, double seconds, String operator) throws Exception {
		long first = 0;
		long now = 0;
		long printed = 0;
		boolean ended = false;

		while (!ended && (first == 0 || now - first < seconds * 1e9)) {
			ended = ended(job, 10);
			now = System.nanoTime();
			if (first == 0 && counted(operator) > 0)
				first = now;
			if (first > 0 && (now - first) / 1_000_000_000L > printed) {
				printed = (now - first) / 1_000_000_000L;
				System.out.printf("at %d %d%n", printed, counted(operator));
			}
		}
		System.out.printf("counted %d %.3f%n", counted(operator), (now - first) / 1e9);
		if (!ended)
			job.cancel().get();
	}

	public static void main(String[] arguments) throws Exception {
		StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(configuration());
		StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
		JobClient job = null;

		metricOfRows = arguments[2].equals("in") ? "numRecordsIn" : "numRecordsOut";
		for (String statement : Files.readString(Path.of(arguments[1])).split(";\\s*\n"))
			if (!statement.isBlank())
				job = tables.executeSql(statement).getJobClient().orElse(null);
		await(job, Double.parseDouble(arguments[0]), arguments[3]);
		System.exit(0);
	}
}
