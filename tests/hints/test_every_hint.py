"""Every text of the program that tells its reader to type something is listed here, with what types it.

A new one fails `test_every_text_to_type_is_listed` until it is listed: with the test that brings it about and types it,
with the config in which its setting is taken, or with the reason why none of our tests can type it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from statekeeper.cli.app import run_command

from .source import Text, texts_of, typed_texts

_TESTS = Path(__file__).parent.parent
_HERE = "tests/hints/test_typed.py::"
_ORACLE = "tests/oracle/"
_OLDER = "tests/unit/cli/test_data_extractor.py::"
TYPED = {
    "tests/unit/cli/test_database.py::test_any_source_is_named_by_its_type_and_its_keys": [
        "found --set {}",
        "such as --set path=data",
        "--set KEY=VALUE sets a key of it",
    ],
    "tests/unit/cli/test_database.py::test_a_secret_is_only_taken_by_reference": ["and give --set"],
    f"{_HERE}TestNextSteps::test_commands_lead_from_one_to_the_next": [
        "cli/extraction.py: commands.run_chosen",
        "cli/check.py: command('check', '--connect', *named)",
        "cli/check.py: command('plan', *named)",
        "cli/init.py: command('check', '--connect', report.config)",
        "cli/init.py: command('run', report.config)",
        "scaffold/config_text.py: # Written by `statekeeper init`",
        "next_command.py: command('run', self.config, *options)",
        "next_command.py: command('run', self.config, *options, '--force-reprocess')",
    ],
    f"{_HERE}TestRowsThatBreakTheSchema::test_corrected_data_are_read_again_by_the_command_of_the_hint": [
        "validate/judgement.py: commands.force",
        "next_steps.py: commands.force",
    ],
    f"{_HERE}TestRowsThatBreakTheSchema::test_corrected_schemas_and_policies_are_used_by_the_command_of_the_hint": [
        "validate/judgement.py: commands.resume",
        "validate/judgement.py: set on_violation: warn",
    ],
    f"{_HERE}TestRowsThatBreakTheSchema::test_many_tables_are_reset_and_resumed_as_is_said_next": [
        "cli/upkeep.py: commands.resume",
        "next_command.py: command('reset', self.config, ",
        "next_command.py: command(name, self.config, *self._known_run, *options)",
        "next_steps.py: commands.reset",
        "next_steps.py: commands.resume",
        "next_steps.py: commands.verify",
    ],
    f"{_HERE}TestNextSteps::test_damaged_state_is_reset_then_resumed": ["next_steps.py: commands.reset"],
    f"{_HERE}TestNextSteps::test_what_verify_finds_is_mended_by_its_hint": [
        "run/verify.py: commands.resume",
        "run/verify.py: commands.run",
        "next_command.py: command('run', self.config, *self._tables_option,",
    ],
    f"{_HERE}TestNextSteps::test_stale_tables_are_extracted_by_the_command_that_names_them": [
        "ending.py: commands.run",
        "next_steps.py: commands.run",
    ],
    f"{_HERE}TestNextSteps::test_several_stale_tables_are_resumed_as_is_said_next": [
        "next_steps.py: commands.resume_stale",
    ],
    f"{_HERE}TestWhichRun::test_where_there_is_none_the_way_to_a_first_one_is_said": [
        "config/reading/text_file.py: `statekeeper init --help` says how",
    ],
    f"{_HERE}TestWhichRun::test_missing_run_is_made_by_the_command_of_the_hint": [
        "run/find_run.py: command('run', str(config), ",
        "run/find_run.py: command('status', *named, '--run-id', *others[:1])",
    ],
    f"{_HERE}TestWhichRun::test_date_or_id_is_left_out_as_is_said": ["leave out --date, or --run-id"],
    f"{_HERE}TestWhichRun::test_second_config_of_one_name_is_run_by_the_command_of_the_refusal": [
        "run_start.py: commands.run",
        "have the same pipeline name and base_path: the run",
    ],
    f"{_HERE}TestWhichRun::test_entry_for_another_run_is_run_by_a_matching_date_and_id": [
        "run with a matching --date and --run-id",
    ],
    f"{_HERE}TestLayouts::test_layout_that_is_kept_is_written_as_is_said": [
        "write `layout: {}` in `output`, or choose another base_path",
    ],
    f"{_HERE}TestLayouts::test_date_is_gone_on_with_by_the_run_that_has_it": ["continue that run: --run-id {}"],
    f"{_HERE}TestWhichRun::test_held_table_is_followed_by_the_command_of_the_hint": [
        "run/reset.py: commands.watch",
        "next_command.py: {} --watch",
    ],
    "tests/acceptance/test_two_runs.py::test_the_second_run_says_who_holds_the_table_and_ends_with_3": [
        "next_steps.py: commands.watch",
    ],
    f"{_HERE}TestSnapshotOfTheRun::test_lost_one_is_taken_anew_by_the_command_of_the_hint": [
        "runner.py: commands.force"
    ],
    f"{_HERE}TestSnapshotOfTheRun::test_table_that_is_referred_to_is_extracted_by_the_command_of_the_hint": [
        "validate/keys/run.py: commands.run_chosen",
    ],
    f"{_HERE}test_tables_are_chosen_as_refusals_say": [
        "say which tables: either --failed, or --table PATTERN",
        "expected either --connect or --offline",
        "leave out an --exclude",
    ],
    "tests/unit/cli/test_vocabulary.py::test_end_of_a_command_says_what_to_type_next_and_it_works": [
        "cli/schemas.py: command('plan', str(config), '--tables', str(out))",
    ],
    f"{_HERE}test_models_are_drafted_and_exported_by_the_commands_that_are_named": [
        "cli/schemas.py: after each table names its model, such as `schema:",
        "cli/schemas.py: command('plan', *named)",
        "cli/schemas.py: command('schemas', 'diff', *named)",
        "cli/schemas.py: command('schemas', 'diff', str(config), *chosen(tables, exclude))",
        "cli/schemas.py: command('schemas', 'infer', *named)",
        "cli/schemas.py: command('schemas', 'infer', str(config), *chosen((key,)))",
        "cli/schemas.py: command(*again)",
        "cli/schemas.py: command(*again, '--check')",
        "--check compares the files of a folder: add --out DIR",
        "choose another --out, or add --force",
    ],
    f"{_HERE}test_a_database_is_named_as_refusals_say": [
        "add --duckdb PATH",
        "--source duckdb needs --duckdb PATH",
        "--duckdb PATH, or --source oracle with ORACLE_HOST",
        "--table SCHEMA.NAME",
        "--table with several --schema is ambiguous",
        "--schema NAME says in which schema",
        "--out and --schemas-out are one file",
    ],
    f"{_HERE}test_forms_of_the_older_command_line_are_as_refusals_say": [
        "`data-extractor --help` shows the two forms",
        "either --config (with --tables), or the options of one table",
        "--tables needs --config, which defines the sources",
        "add --config FILE",
        "or give --config FILE",
    ],
    f"{_OLDER}test_wrong_usage_says_what_is_missing_and_ends_with_2": [
        "ORACLE_PASSWORD (or --password)",
    ],
    f"{_OLDER}test_an_unreachable_database_ends_with_4_and_a_warned_password_is_not_shown": [
        "warning: --password shows the password in the list of processes",
    ],
    f"{_OLDER}test_help_and_usage_load_no_driver_and_no_arrow": ["Two forms: --config"],
    f"{_HERE}test_what_is_in_the_way_is_moved_away_or_avoided_as_is_said": [
        "ownership.py: move {} away, or choose another --run-id; then run again",
        "store/locks/flock.py: move {} away, or choose another --run-id; then run again",
        "look at it (ls -l {}), and move it away; then run again",
        "remove the link, or replace it by its target",
        "is a symbolic link, and statekeeper follows none under base_path",
    ],
    f"{_HERE}test_windows_that_are_not_over_are_extracted_as_is_said": [
        "run it when the day is over, with an earlier --date, or set allow_open_window: true",
        "run it when the day has started in its incremental_timezone, or with an earlier --date",
    ],
    "tests/acceptance/test_numbers.py::test_extractions_follow_each_other_by_number": [
        "run a later date; to extract one again, run its date with --force-reprocess",
    ],
    "tests/acceptance/test_numbers.py::test_a_column_that_holds_times_now_needs_a_path_of_its_own": [
        "plan/window.py: give the table a path_name of its own",
    ],
    "tests/acceptance/test_days.py::test_rows_without_a_time_fail_a_table_until_the_first_load_has_them": [
        "give them a value and run again, or take them: run the --date of the first load with --force-reprocess",
    ],
    f"{_HERE}test_a_column_without_a_zone_is_extracted_as_is_said": [
        "write incremental_timezone: UTC, or the zone of the programs that write the column",
        "set incremental_timezone: {}, or give the table a path_name of its own",
        "config_text.py: # incremental_timezone: UTC",
    ],
    f"{_ORACLE}test_late_commits.py::test_a_table_that_must_wait_is_refused_without_the_grant_until_it_is_typed": [
        "oracle/transactions.py: GRANT SELECT ON SYS.GV_$TRANSACTION TO {}"
    ],
    f"{_HERE}test_windows_that_others_have_taken_or_nobody_has_are_extracted_as_is_said": [
        "read them there; to extract them again, run that date with --force-reprocess",
        "no extraction has the rows from {} to {} (on_gap: fail)",
        "run --date {} first, or set on_gap: extend",
        "set incremental_column: {}, or give the table a path_name of its own",
        "uncovered.py: commands.run",
        "uncovered.py: commands.force",
    ],
    f"{_HERE}test_rows_are_compared_anew_by_the_commands_that_are_named": [
        "plan/compared.py: commands.force",
        "plan/compared.py: commands.run",
    ],
    f"{_HERE}test_holes_are_filled_by_the_backfill_that_history_types": [
        "next_command.py: command('backfill', self.config, *self._tables_option, *dates, *chosen(tables, exclude))",
        "choose others with --table, or give the table an incremental_column",
    ],
    "tests/unit/run/test_backfill.py::test_dates_after_a_failed_one_go_on_if_its_window_is_its_own": [
        "run/backfill.py: commands.resume",
    ],
    "tests/unit/run/test_backfill.py::"
    "test_a_backfill_that_was_killed_before_its_first_date_is_begun_by_the_typed_command": [
        "run/find_run.py: command('resume')",
        "run/backfill_status.py: command('resume')",
    ],
    "tests/unit/run/test_backfill.py::test_many_problems_are_counted_and_json_has_them": [
        "render_backfill.py: and {}; --json has all of them",
    ],
    "tests/unit/run/test_backfill.py::TestOnGap::test_a_plan_says_which_dates_come_first": [
        "{} extracted first, each under its own path (on_gap: backfill)",
    ],
    f"{_HERE}test_variable_that_is_not_set_is_exported_or_given_a_default": [
        "export {}, or give a default: ${{}:-...}"
    ],
    f"{_HERE}test_entries_of_one_folder_are_told_apart_by_the_names_that_are_proposed": [
        "give one of them its own path_name",
    ],
    f"{_HERE}test_state_of_another_table_is_avoided_by_another_path_name_or_moved_away": [
        "give the table another path_name, or move the file away",
    ],
    f"{_HERE}TestDidYouMean::test_of_keys_and_values_of_a_config": ["config/suggest.py: did you mean '{}'?"],
    f"{_HERE}TestDidYouMean::test_of_tables_and_models": [
        "config/selection.py: did you mean {}?",
        "schemas/model/load.py: did you mean {}?",
        "duckdb/relation.py: did you mean {}?",
    ],
    "tests/unit/databricks/test_job.py::test_unknown_parameters_of_the_job_are_ignored_with_a_warning": [
        "databricks/job.py: did you mean {}?",
    ],
    f"{_HERE}TestColumns::test_declaration_of_a_new_one_is_taken_as_it_is_said": [
        "columns/reconcile.py: `{}: {}{}`",
        "columns/reconcile.py: `{}: {type: {}{}}`",
    ],
    f"{_HERE}TestColumns::test_one_that_cannot_be_read_is_selected_as_it_is_said": [
        "duckdb/types.py: ",
        "duckdb/types.py: ",
    ],
    f"{_HERE}TestColumns::test_one_that_a_reader_refuses_is_selected_as_it_is_said": [
        "select it as text, CAST(... AS VARCHAR), {}",
    ],
    f"{_ORACLE}test_hints.py::test_name_that_is_nearly_a_tables_is_answered_with_the_tables": [
        "oracle/relation.py: did you mean {}?",
    ],
    f"{_ORACLE}test_values.py::test_nanoseconds_are_refused_until_the_configuration_says_how": [
        "round it in a custom_query by CAST(... AS TIMESTAMP(6))"
    ],
    f"{_ORACLE}test_hints.py::test_after_the_grants_that_failures_name_the_tables_complete": [
        "GRANT SELECT ON {} TO {}, if it exists",
        "GRANT FLASHBACK ON {} TO {}{}",
        "or GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO {}; or give the query a source of its own",
        "oracle/scn.py: GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO {user}",
    ],
    f"{_ORACLE}test_hints.py::test_after_the_grant_that_a_failed_read_names_the_table_completes": [
        "where the table exists, GRANT SELECT ON {table} TO {user}",
        "GRANT SELECT ON {table} TO {user}; to read at a snapshot also GRANT FLASHBACK ON {table} TO {user}",
    ],
    f"{_ORACLE}test_hints.py::test_account_can_log_in_after_the_statement_of_the_hint": [
        "ALTER USER {user} ACCOUNT UNLOCK",
        "the password has expired: ALTER USER {user} IDENTIFIED BY",
    ],
    f"{_ORACLE}test_hints.py::test_after_the_grants_that_check_advises_it_advises_nothing": [
        "oracle/advice.py: GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO {}: {}",
        "oracle/advice.py: GRANT SELECT ON SYS.V_$DATABASE TO {}: {}",
        "oracle/advice.py: GRANT SELECT ON SYS.DBA_EXTENTS TO {}: {}",
        "GRANT EXEMPT ACCESS POLICY TO {} shows all of them",
        "GRANT EXEMPT REDACTION POLICY TO {} shows the true ones",
        "ask the DBA, or GRANT SELECT ON SYS.REDACTION_COLUMNS TO {}",
        "GRANT SELECT ON SYS.DBA_EXTENTS TO {} gives chunks of equal size",
    ],
    f"{_ORACLE}test_hints.py::test_schema_whose_tables_may_not_be_seen_is_drafted_after_the_grant_of_the_hint": [
        "name another with --schema, or GRANT SELECT ON <each table of it> TO {}",
    ],
    f"{_ORACLE}test_privileges.py::test_the_first_granted_way_is_used": [
        "oracle/scn.py: GRANT SELECT ON SYS.V_$DATABASE TO {user}",
        "oracle/scn.py: GRANT EXECUTE ON SYS.TIMESTAMP_TO_SCN TO {user}",
    ],
    "tests/unit/config/test_root.py::test_a_config_that_version_0_1_ran_from_elsewhere_is_not_extracted_anew_unsaid": [
        "write `root: {}` into it to continue them, or `root: {}` to extract everything again",
    ],
    "tests/unit/config/sections/test_oracle.py::test_a_dsn_as_oracle_takes_it_is_taken": [
        "write only what follows the @: dsn: //HOST:PORT/SERVICE",
        "write dsn: HOST:PORT/SERVICE",
    ],
    "tests/unit/databricks/test_job.py::test_arguments_name_the_parameters": [
        "expected --name value or --name=value; found {}",
    ],
    f"{_ORACLE}test_unseen.py::test_archived_rows_are_read_on_request": ["row_archival: visible of the source"],
    f"{_ORACLE}test_connections.py::test_a_password_that_expires_soon_is_a_warning_of_the_run_once": [
        "ALTER USER {user} IDENTIFIED BY a new one, before",
    ],
    f"{_ORACLE}test_connections.py::test_a_proxy_user_reads_as_the_user_it_acts_for": [
        "ALTER USER {user} GRANT CONNECT THROUGH the user of the source",
    ],
    "tests/unit/parquet/test_batch_size.py"
    "::test_duckdb_that_needs_more_than_its_limit_says_which_columns_have_no_bound": [
        "raise execution.memory_limit: DuckDB reads up to",
    ],
    "tests/unit/cli/test_limits.py::test_few_threads_end_in_a_sentence": ["(ulimit -u, -n, -v)"],
    "tests/unit/cli/test_limits.py::test_few_files_and_little_memory_end_in_a_sentence": [
        "raise the limit of open files (ulimit -n)",
    ],
    "tests/unit/test_system_errors.py::test_refusal_without_a_path_is_a_storage_failure_too": ["(ulimit -a)"],
    "tests/crash/test_no_space.py::test_a_limit_of_the_file_size_is_told_as_what_it_is": ["(ulimit -f)"],
    "tests/unit/hints/test_next_command.py::test_run_of_python_has_no_command_but_a_way": [
        "ending.py: commands.resume_stale",
        "next_command.py: command('status', *self._known_run)",
        "repeat the same call or command: it verifies what is complete",
    ],
}
"""The test that brings a text about and types it, or asks its reader's other tools for what it says."""

_LOGIN = "type: oracle, dsn: h/s, user: u, password: p"
_SHOP = "shop: {type: duckdb, path: shop.duckdb}"
_TABLES = "[{table_name: t}]"
_REFERRING = "[{table_name: p, is_full_extract: true}, {table_name: t, references: [{columns: p, table: p, to: id}]}]"


def _config(source: str = _SHOP, tables: str = _TABLES, more: str = "") -> str:
    return f"sources: {{{source}}}\ntables: {tables}\n{more}"


def _oracle(more: str) -> str:
    return _config(f"ora: {{{_LOGIN}, {more}}}")


_MERGED = _config(
    tables="[{table_name: t, on_violation: quarantine, unique: [[ORDER_ID, LINE_NO]]}]",
    more="output: {format: delta, write: merge}",
)
SETTINGS = {
    "set is_full_extract: true there": _config("shop: {type: duckdb, path: f, snapshot_scope: run}", _REFERRING),
    "set sources.{}.snapshot_scope: run": _config("shop: {type: duckdb, path: f, snapshot_scope: run}", _REFERRING),
    "a reference needs snapshot_scope: run": _config("shop: {type: duckdb, path: f, snapshot_scope: run}", _REFERRING),
    "leave snapshot out, or set snapshot_scope: table": _oracle("snapshot: transaction, snapshot_scope: table"),
    "'scn' with snapshot_scope: run": _oracle("snapshot: scn, snapshot_scope: run"),
    "write host: HOST, port: PORT and sid: SID": _config(
        "ora: {type: oracle, host: h, port: 1521, sid: s, user: u, password: p}"
    ),
    "thick_mode: true with client_lib_dir": _oracle("thick_mode: true, client_lib_dir: /opt/client"),
    "thick_mode: true, which external_auth needs": _config(
        "ora: {type: oracle, dsn: h/s, external_auth: true, thick_mode: true}"
    ),
    "a user and a password, or external_auth: true": _config(
        "ora: {type: oracle, dsn: h/s, external_auth: true, thick_mode: true}"
    ),
    "max_sessions: 1 (or none)": _oracle("snapshot: transaction, max_sessions: 1"),
    "network_check.py: set engine: local, which reads on the driver": _config(more="execution: {engine: local}"),
    "needs the layout hive; found output.layout: dated": _config(more="output: {layout: hive, format: delta}"),
    "format_resolution.py: write `layout: hive` in `output`": _config(more="output: {layout: hive, format: delta}"),
    "write: replace_date replaces all rows of": _config(more="output: {format: delta, write: replace_date}"),
    "select the column under another name, or write: replace": _config(
        more="defaults: {format: delta, write: replace}\noutput: {layout: hive}"
    ),
    "write: merge needs one key in `unique`, by which rows are found in the table; found {}": _MERGED,
    "write: merge needs rows with different keys, and 'warn' would let equal ones pass": _MERGED,
    "judgement.py: set on_violation: quarantine": _MERGED,
    "write in `output`: `catalog: {type: sql, uri: 'sqlite:///catalog.db'}`": _config(
        more="output: {format: iceberg, catalog: {type: sql, uri: 'sqlite:///catalog.db'}}"
    ),
    "write `format: parquet` and load into managed tables": _config(more="output: {format: parquet}"),
    "add `format: delta`": _config(more="defaults: {format: delta, write: replace}\noutput: {layout: hive}"),
    "pip install 'statekeeper[spark]', or use engine: local": _config(more="execution: {engine: local}"),
    "on_drift: ignore-new": _config(
        tables="[{table_name: t, on_drift: ignore-new}, {table_name: u, on_drift: evolve}]"
    ),
    "on_drift: evolve accepts the table as it is now": _config(tables="[{table_name: t, on_drift: evolve}]"),
    "on_drift: evolve adds new columns": _config(tables="[{table_name: t, on_drift: evolve}]"),
    "(inline: `nullable: true`)": _config(tables="[{table_name: t, columns: {id: {type: int, nullable: true}}}]"),
    "show_values: false leaves its text out": _config(tables="[{table_name: t, show_values: false}]"),
    "or set fractional_seconds: us for an Oracle source": _oracle("fractional_seconds: us"),
    "or set fractional_seconds: us or ns for the source": _oracle("fractional_seconds: ns"),
    "or set zone_offsets: false for the source": _oracle("zone_offsets: false"),
    "chunking: {strategy: key, column: ...}": _config(
        tables="[{table_name: t, chunking: {strategy: key, column: id}}, {table_name: u, chunking: {strategy: none}}, "
        "{table_name: v, chunking: {strategy: auto}}]"
    ),
    "chunking: {strategy: auto}": _config(tables="[{table_name: t, chunking: {strategy: auto}}]"),
    "set snapshot: transaction": _oracle("snapshot: transaction"),
    "oracle/snapshot.py: snapshot: transaction": _oracle("snapshot: transaction"),
    "oracle/snapshot.py: snapshot: none": _oracle("snapshot: none"),
    "snapshot: transaction of the source lets them": _oracle("snapshot: transaction"),
    "give it a source of its own with snapshot: none": _oracle("snapshot: none"),
    "flashback_timestamp needs snapshot: scn": _oracle("snapshot: scn"),
    "set thick_mode: true": _oracle("thick_mode: true"),
    "this needs thick_mode: true": _oracle("thick_mode: true"),
    "or use thick_mode: true": _oracle("thick_mode: true"),
    "set count_nulls: true for the source": _oracle("count_nulls: true"),
    "set window: watermark, if its numbers only grow": _config(
        tables="[{table_name: t, incremental_column: id, window: watermark}]"
    ),
    "set lookback: 10000, or as many": _config(
        tables="[{table_name: t, incremental_column: id, window: watermark, lookback: 10000}]"
    ),
    "write {}s for seconds; a number is for window: watermark": _config(
        tables="[{table_name: t, incremental_column: at, lookback: 30s}]"
    ),
    "run once with null_rows: count": _config(
        tables="[{table_name: t, incremental_column: at, null_rows: count}, "
        "{table_name: u, incremental_column: at, null_rows: ignore}]"
    ),
    "make_plan.py: set null_rows: ignore": _config(
        tables="[{table_name: t, incremental_column: at, null_rows: ignore}]"
    ),
    "'fail' needs reconcile: count": _config(
        tables="[{table_name: t, incremental_column: at, null_rows: fail, reconcile: count}]"
    ),
    "sources/files.py: set snapshot_scope: table": _oracle("snapshot_scope: table"),
    "or write `layout: dated` in `output`": _config(more="output: {layout: dated}"),
    "use leases (lock: lease)": _config(more="output: {lock: lease}"),
}
"""A config that holds what a text says to write; `check` takes it."""

ELSEWHERE = {
    "config/databricks.py: `SHOW VOLUMES IN": "a statement of Databricks, which no test reaches",
    "managed_table.py: `SHOW SCHEMAS IN": "the same",
    "`databricks secrets list-secrets {}`": "the command line of Databricks, which no test reaches",
    "`%pip install 'databricks-sdk>=0.117'`": "installs a package in a notebook; the bound is one of pyproject.toml",
    "pip install 'statekeeper[databricks]'": "installs a package; the extra is one of pyproject.toml",
    "registry.py: pip install 'statekeeper[{}]'": "installs a package; a table format's extra has its name",
    "pip install 'statekeeper[objects]'": "installs a package; the extra is one of pyproject.toml",
    "pip install boto3": "installs a package, with the newest version",
    "sts:AssumeRole, and the trust policy": "a permission in a policy of AWS, which no test reaches",
    "pip install 'pydantic>=": "installs a package; the range is the one of pyproject.toml, which a test compares",
    "pip install statekeeper": "installs a package on the executors of a cluster",
    "must register an object whose": "says to whoever writes a package what is missing in it",
    "`lsnrctl ": "a program beside Oracle's listener",
    "GRANT CREATE SESSION TO {user}": "typed by a DBA before any session; the test server lets every account log in",
}
"""What no test types, and why."""

FOUND = (
    "the pipeline's name or the table's path_name",
    "give one of them a path_name, or load each",
    "no table matches --table and --exclude",
    "--exclude leaves no table of those that --table names",
    "instead of host:port:SID, which only JDBC understands",
    "with snapshot_scope: run, all tables of the source are read at one snapshot",
    "a name for files, of at most {} bytes: no /",
    "and cannot be counted cheaply (null_rows: fail)",
    "cannot wait for open transactions (late_commits: wait)",
    "its windows wait for open transactions (late_commits: wait), which cannot be read",
    "{}: {} (null_rows: fail)",
    "does not match its own checksum: it was torn",
    "engine: spark needs pyspark",
    "base_path: data",
    "with output.layout: hive the folders",
    "# custom_query: as it is in the configuration",
    "CASE WHEN {} >= TIMESTAMP",
    "with write: replace the table would become older",
    "thrift://host:9083",
    "type: rest beside {}",
    "the format iceberg takes no storage.service_account_file",
    "with write: merge it would become older by rows of",
    "load.py: write: class {}(pydantic.BaseModel)",
)
"""Texts that say what was found, or are written into files, and have nothing to type."""


def _listed() -> list[str]:
    return [*(fragment for each in TYPED.values() for fragment in each), *SETTINGS, *ELSEWHERE, *FOUND]


def _holds(text: Text, fragment: str) -> bool:
    return fragment in f"{text.module}: {text.text}"


def test_every_text_to_type_is_listed():
    texts, listed = list(typed_texts()), _listed()
    assert len(texts) > 150, "the collector finds too little"
    new = [str(text) for text in texts if not any(_holds(text, fragment) for fragment in listed)]
    assert new == []


def test_every_entry_of_the_list_is_a_text_of_the_program():
    texts = list(typed_texts())
    assert [fragment for fragment in _listed() if not any(_holds(text, fragment) for text in texts)] == []


@pytest.mark.parametrize("name", sorted(TYPED))
def test_every_test_that_the_list_names_is_there(name):
    path, *inner = name.split("::")
    tree: ast.AST = ast.parse((_TESTS.parent / path).read_text(encoding="utf-8"))
    *classes, function = inner
    names = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    assert {*classes, function} <= names


@pytest.mark.parametrize("hint", sorted(SETTINGS))
def test_every_setting_is_taken_where_its_hint_says(hint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yml").write_text("pipeline: shop\n" + SETTINGS[hint], encoding="utf-8")
    assert run_command(["check", "shop.yml"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        'raise UsageError("gone", hint="type `statekeeper resume` again")',
        'raise UsageError("gone", hint=f"GRANT SELECT ON {table} TO {user}")',
        'hint = "set on_violation: warn for the table"',
        'hint = f"run it with --force-reprocess for {table}"',
        "step = NextStep(command=self.run.commands.resume())",
        'step = command("resume", str(config))',
    ],
)
def test_a_new_hint_is_found_whatever_its_form(line):
    assert len(list(texts_of(ast.parse(line), "new.py"))) == 1
